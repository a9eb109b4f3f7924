import BlindRelay
import CompactEncoding
import Conformance
import Protomux
import SansIO
import SecretStream

/// Relay and client, on muxes joined back to back. What needs UDX or the DHT is judged where those are.
enum BlindRelayChecks {
    static let checks: [Check] = [
        Check("blind-relay.channel", ["RELAY-1"], .machine, run: channel),
        Check("blind-relay.message-bytes", ["RELAY-2"], .machine, .codec, run: messageBytes),
        Check("blind-relay.pairing", ["RELAY-3", "RELAY-6"], .machine, run: pairing),
        Check("blind-relay.role-taken", ["RELAY-4"], .machine, run: roleTaken),
        Check("blind-relay.unpair-pending", ["RELAY-5"], .machine, run: unpairPending),
        Check("blind-relay.unpair-link", ["RELAY-7"], .machine, run: unpairLink),
        Check("blind-relay.session-closes", ["RELAY-8"], .machine, run: sessionCloses),
        Check("blind-relay.foreign-answers", ["RELAY-9"], .machine, run: foreignAnswers),
        Check("blind-relay.timeout", ["RELAY-10"], .machine, run: timeout),
        Check("blind-relay.both-offer", ["RELAY-11"], .machine, run: bothOffer),
        Check("blind-relay.one-offers", ["RELAY-11", "RELAY-12"], .machine, run: oneOffers),
        Check("blind-relay.keepalive", ["RELAY-15"], .machine, run: keepAlive),
        Check("blind-relay.flood", ["RELAY-16"], .machine, run: flood),
        Check("blind-relay.flags", ["RELAY-17"], .machine, .codec, run: flags),
    ]

    private static let token = RelayWorld.key(0xab)

    private static func hex(_ text: String) -> [UInt8] { NoiseKeys.hex(text) }

    private static func two(limits: BlindRelayServer.Limits = BlindRelayServer.Limits()) throws -> RelayWorld {
        let world = RelayWorld(limits: limits)
        try world.connect("client", key: RelayWorld.key(1))
        try world.connect("client2", key: RelayWorld.key(2))
        world.pump()
        _ = world.takeFrames()
        return world
    }

    private static func client(_ world: RelayWorld, _ index: Int) throws -> BlindRelayClient {
        guard let client = world.connections[index].client else { throw ProtomuxError(.ended) }
        return client
    }

    private static func channel(_ exam: Examination) throws {
        let mux = Protomux()
        let key = RelayWorld.key(0x42)
        _ = try BlindRelayClient(mux: mux, publicKey: key)
        exam.equal("open", mux.takeMessages(), [hex("0001 01 0b626c696e642d72656c6179 20") + key.bytes])
        // The relay uses its view of the same key, and the two pair.
        let world = RelayWorld()
        try world.connect("client", key: key)
        world.pump()
        exam.require("the channel is up", try !client(world, 0).isClosed && world.server.linkCount == 0)
        exam.equal("both opened with the same key", Set(world.takeFrames().map(\.bytes)).count, 1)
    }

    private static func messageBytes(_ exam: Examination) throws {
        let text = String(repeating: "ab", count: 32)
        for (pair, expected) in [
            (Pair(isInitiator: true, token: token, streamID: 0x1234_5678), "01" + text + "fe78563412 00"),
            (Pair(isInitiator: false, token: token, streamID: 7), "00" + text + "07 00"),
            (Pair(isInitiator: true, token: token, streamID: 0xffff_ffff), "01" + text + "feffffffff 00"),
        ] {
            exam.bytes("pair", pair.encoded, hex(expected))
            exam.equal("pair, decoded", try Pair(decoding: hex(expected)), pair)
        }
        exam.bytes("unpair", Unpair(token: token).encoded, hex("00" + text))
        exam.equal("unpair, decoded", try Unpair(decoding: hex("00" + text)), Unpair(token: token))
        for length in 0..<35 {
            exam.refuses("pair of \(length) bytes") { _ = try Pair(decoding: Array(hex("01" + text + "07 00").prefix(length).dropLast(0))) }
            if length < 33 {
                exam.refuses("unpair of \(length) bytes") { _ = try Unpair(decoding: Array(hex("00" + text).prefix(length))) }
            }
        }
    }

    private static func pairing(_ exam: Examination) throws {
        for isInitiatorFirst in [true, false] {
            let world = try two()
            let first = try client(world, 0)
            let second = try client(world, 1)
            first.pair(isInitiator: isInitiatorFirst, token: token, streamID: 70001, at: .zero)
            exam.equal("one alone: frames", world.takeFrames().count, 1)
            second.pair(isInitiator: !isInitiatorFirst, token: token, streamID: 6, at: .zero)
            world.pump()
            let own: [UInt32] = world.streams
            exam.equal("streams of the relay", own.count, 2)
            exam.require("ids", Set(own).count == 2 && !own.contains(0), "\(own)")
            var given: [UInt64] = []
            for (name, role) in [("client", isInitiatorFirst), ("client2", !isInitiatorFirst)] {
                let events = world.take(name)
                guard case .paired(token, let isInitiator, let id)? = events.first, events.count == 1 else {
                    exam.report(name, expected: "paired", actual: "\(events)")
                    continue
                }
                exam.equal("\(name): own role", isInitiator, role)
                exam.require("\(name): nonzero id", id != 0)
                given.append(id)
            }
            exam.equal("each got one of the relay's streams", given.sorted(), own.map(UInt64.init).sorted())
            // Bytes of the two answers: own role, token, id, seq 0.
            let answers = world.takeFrames().filter { $0.from.hasPrefix("server") }.map(\.bytes)
            exam.equal("answers", answers.count, 2)
            for answer in answers {
                exam.bytes("channel, type and token", Array(answer[..<2] + answer[3..<35]), hex("0100") + token.bytes)
                exam.equal("seq", answer.last, 0)
            }
            // RELAY-6, the relay's part: towards each side it sends to the id which that side announced.
            guard let link = world.serverEvents.compactMap({ if case .matched(let link) = $0 { link } else { nil } }).first else {
                exam.report("link", expected: "a link", actual: "nothing")
                continue
            }
            exam.equal("towards the initiator", link.initiator.remoteStreamID, isInitiatorFirst ? 70001 : 6)
            exam.equal("towards the responder", link.responder.remoteStreamID, isInitiatorFirst ? 6 : 70001)
            exam.equal("nothing pends", world.server.pendingCount, 0)
        }
    }

    private static func roleTaken(_ exam: Examination) throws {
        let world = try two()
        try world.connect("client3", key: RelayWorld.key(3))
        try client(world, 0).pair(isInitiator: true, token: token, streamID: 5, at: .zero)
        _ = world.takeFrames()
        try client(world, 1).pair(isInitiator: true, token: token, streamID: 6, at: .zero)
        exam.equal("no reply", world.takeFrames().filter { $0.from.hasPrefix("server") && $0.bytes.count < 48 }.count, 0)
        exam.equal("counted", world.server.refused.roleTaken, 1)
        try client(world, 2).pair(isInitiator: false, token: token, streamID: 7, at: .zero)
        exam.equal("the first is paired", world.take("client").count, 1)
        exam.equal("the second is not", world.take("client2"), [])
        guard case .matched(let link)? = world.serverEvents.first else { return exam.report("link", expected: "a link", actual: "nothing") }
        exam.equal("with the first's id", link.initiator.remoteStreamID, 5)
    }

    private static func unpairPending(_ exam: Examination) throws {
        let world = try two()
        let first = try client(world, 0)
        first.pair(isInitiator: true, token: token, streamID: 5, at: .zero)
        exam.equal("alone", world.takeFrames().count, 1)
        first.unpair(token)
        exam.equal("unpair is not answered", world.takeFrames().map(\.bytes), [hex("0101 00") + token.bytes])
        exam.equal("event", world.take("client"), [.failed(token: token, .cancelled)])
        try client(world, 1).pair(isInitiator: false, token: token, streamID: 6, at: .zero)
        exam.equal("a late opposite pair", world.takeFrames().count, 1)
        exam.equal("waits", world.take("client2"), [])
        exam.equal("streams", world.streams, [])
    }

    private static func unpairLink(_ exam: Examination) throws {
        for leaver in [0, 1] {
            let world = try two()
            try client(world, 0).pair(isInitiator: true, token: token, streamID: 5, at: .zero)
            try client(world, 1).pair(isInitiator: false, token: token, streamID: 6, at: .zero)
            world.pump()
            exam.equal("linked", world.streams.count, 2)
            try client(world, leaver).unpair(token)
            world.pump()
            exam.equal("both streams are destroyed", world.streams, [])
            exam.equal("links", world.server.linkCount, 0)
        }
    }

    private static func sessionCloses(_ exam: Examination) throws {
        let world = try two()
        try client(world, 0).pair(isInitiator: true, token: token, streamID: 5, at: .zero)
        try client(world, 1).pair(isInitiator: false, token: token, streamID: 6, at: .zero)
        let other = RelayWorld.key(0xcd)
        try client(world, 0).pair(isInitiator: true, token: other, streamID: 8, at: .zero)
        world.pump()
        guard case .matched(let link)? = world.serverEvents.first else { return exam.report("link", expected: "a link", actual: "nothing") }
        let own = world.streams
        // The connection ends.
        world.connections[0].clientMux.carrierClosed()
        world.connections[0].serverMux.receiveEnd()
        world.pump()
        exam.equal("its pending tokens vanish", world.server.pendingCount, 0)
        exam.equal("session", world.serverEvents.last, .sessionClosed(link.initiator.session))
        // The initiator's stream is the one that was made second.
        exam.equal("its stream is destroyed", world.streams, [own[0]])
        try client(world, 1).pair(isInitiator: false, token: other, streamID: 9, at: .zero)
        exam.equal("a late opposite pair", world.take("client2").count, 1)
        exam.equal("is not matched", world.server.pendingCount, 1)
        // The other session ends too: nothing is left.
        world.connections[1].serverMux.receiveEnd()
        world.pump()
        exam.equal("streams", world.streams, [])
        exam.equal("links", world.server.linkCount, 0)
        exam.equal("tokens", world.server.pendingCount, 0)
    }

    private static func foreignAnswers(_ exam: Examination) throws {
        let mux = Protomux()
        let client = try BlindRelayClient(mux: mux, publicKey: RelayWorld.key(1))
        mux.receive(hex("0001 01 0b626c696e642d72656c6179 20") + RelayWorld.key(1).bytes)
        client.pair(isInitiator: true, token: token, streamID: 5, at: .zero)
        func answer(_ pair: Pair) {
            mux.receive([1, 0] + pair.encoded)
            for event in mux.takeEvents() { client.receive(event) }
        }
        answer(Pair(isInitiator: true, token: RelayWorld.key(9), streamID: 1))
        exam.equal("unknown token", client.takeEvents(), [])
        answer(Pair(isInitiator: false, token: token, streamID: 2))
        exam.equal("wrong role", client.takeEvents(), [])
        exam.equal("counted", client.ignoredAnswers, 2)
        exam.equal("still waits", client.pendingTokens, [token])
        answer(Pair(isInitiator: true, token: token, streamID: 3))
        exam.equal("the right one", client.takeEvents(), [.paired(token: token, isInitiator: true, remoteStreamID: 3)])
        answer(Pair(isInitiator: true, token: token, streamID: 4))
        exam.equal("only once", client.takeEvents(), [])
    }

    private static func timeout(_ exam: Examination) throws {
        let mux = Protomux()
        let client = try BlindRelayClient(mux: mux, publicKey: RelayWorld.key(1))
        client.pair(isInitiator: true, token: token, streamID: 5, at: .zero + .seconds(1))
        exam.equal("wake-up", client.nextWakeUp, .zero + .seconds(16))
        client.advance(to: .zero + .milliseconds(15_999))
        exam.equal("before", client.takeEvents(), [])
        client.advance(to: .zero + .seconds(16))
        exam.equal("after 15 s", client.takeEvents(), [.failed(token: token, .timedOut)])
        exam.equal("nothing waits", client.nextWakeUp, .distantFuture)
        // The channel's end fails it at once.
        client.pair(isInitiator: true, token: token, streamID: 5, at: .zero + .seconds(20))
        mux.receiveEnd()
        for event in mux.takeEvents() { client.receive(event) }
        exam.equal("channel closed", client.takeEvents(), [.failed(token: token, .channelClosed), .closed])
    }

    private static let serverOffer = RelayOffer(relayPublicKey: RelayWorld.key(0x51), token: RelayWorld.key(0x52))
    private static let clientOffer = RelayOffer(relayPublicKey: RelayWorld.key(0xc1), token: RelayWorld.key(0xc2))

    private static func bothOffer(_ exam: Examination) throws {
        for isServer in [true, false] {
            let agreement = RelayAgreement(serverOffer: serverOffer, clientOffer: clientOffer, isServer: isServer)
            exam.equal("the server's relay and token", agreement?.offer, serverOffer)
            exam.equal("the server pairs as initiator", agreement?.isPairInitiator, isServer)
        }
    }

    private static func oneOffers(_ exam: Examination) throws {
        for isServer in [true, false] {
            let client = RelayAgreement(serverOffer: nil, clientOffer: clientOffer, isServer: isServer)
            exam.equal("only the client: its relay", client?.offer, clientOffer)
            exam.equal("only the client: it is initiator", client?.isPairInitiator, !isServer)
            let server = RelayAgreement(serverOffer: serverOffer, clientOffer: nil, isServer: isServer)
            exam.equal("only the server: its relay", server?.offer, serverOffer)
            exam.equal("only the server: it is initiator", server?.isPairInitiator, isServer)
            exam.equal("nobody", RelayAgreement(serverOffer: nil, clientOffer: nil, isServer: isServer), nil)
        }
    }

    /// A connection with the relay's keepalive, left idle.
    private static func keepAlive(_ exam: Examination) throws {
        let pair = StreamPair { configuration, _ in configuration.keepAlive = BlindRelay.connectionKeepAlive }
        pair.startDone()
        pair.clear()
        for second in 1...3 {
            exam.equal("wake-up \(second)", pair.initiator.nextWakeUp, .zero + .seconds(5 * Int64(second)))
            pair.now = .zero + .seconds(5 * Int64(second))
            pair.initiator.advance(to: pair.now)
            exam.equal("frames", pair.take(.initiator).map(\.count), [20])
        }
    }

    private static func flood(_ exam: Examination) throws {
        var limits = BlindRelayServer.Limits()
        limits.pendingPerSession = 16
        limits.pendingLifetime = .seconds(30)
        let world = try two(limits: limits)
        let attacker = try client(world, 0)
        for number in 0..<1000 {
            let bytes = [UInt8(number & 255), UInt8(number >> 8)] + [UInt8](repeating: 1, count: 30)
            if let token = Bytes32(bytes) { attacker.pair(isInitiator: true, token: token, streamID: 5, at: .zero) }
            if number % 100 == 99 { world.pump() }
        }
        exam.require("tokens kept", world.server.pendingCount <= 16, "\(world.server.pendingCount)")
        exam.equal("refused", world.server.refused.limit, 984)
        // Another session is not harmed, and what pends expires.
        try client(world, 1).pair(isInitiator: true, token: token, streamID: 6, at: .zero)
        world.pump()
        exam.equal("another session's", world.server.pendingCount, 17)
        world.server.advance(to: .zero + .seconds(30))
        exam.equal("after their lifetime", world.server.pendingCount, 0)
    }

    private static func flags(_ exam: Examination) throws {
        let rest = token.bytes + [7, 0]
        for flags in UInt8(0)...0xfc {
            let pair = try Pair(decoding: [flags] + rest)
            exam.equal("flags \(flags)", pair, Pair(isInitiator: flags & 1 == 1, token: token, streamID: 7))
        }
        // The wider forms of the bit field.
        for (prefix, width) in [(UInt8(0xfd), 2), (0xfe, 4), (0xff, 8)] {
            for bit: UInt8 in [0, 1] {
                let field = [prefix, bit] + [UInt8](repeating: 0, count: width - 1)
                exam.equal("wide \(prefix), \(bit)", try Pair(decoding: field + rest).isInitiator, bit == 1)
                exam.equal("unpair, wide \(prefix)", try Unpair(decoding: field + token.bytes).token, token)
            }
        }
    }
}

import BlindRelay
import CompactEncoding
import Protomux
import SansIO

/// A relay, two clients of ours, and a third party that sends what it likes on its channel. Tokens are few, so that they meet.
final class BlindRelayScript {
    private final class Guest {
        let mux = Protomux()
        let serverMux = Protomux()
        var client: BlindRelayClient?
        var channel: ChannelHandle?
        let session: BlindRelayServer.SessionID
        /// Our answers that came.
        var asked: Set<Bytes32> = []

        init(_ key: Bytes32, _ server: BlindRelayServer, isOurs: Bool) throws(ProtomuxError) {
            session = try server.accept(mux: serverMux, clientPublicKey: key)
            if isOurs {
                client = try BlindRelayClient(mux: mux, publicKey: key)
            } else {
                channel = try mux.open(ChannelOptions(BlindRelay.channelKey(clientPublicKey: key), messageCount: 4))
            }
        }
    }

    private var script: Script
    private let promises = Promises()
    private let clock = Clock()
    private let server: BlindRelayServer
    private var guests: [Guest] = []
    private var streams: Set<UInt32> = []
    private var everStreams: UInt32 = 0
    private var closedSessions: Set<BlindRelayServer.SessionID> = []
    private let limits: BlindRelayServer.Limits

    init(_ bytes: [UInt8]) {
        script = Script(bytes)
        var limits = BlindRelayServer.Limits()
        if script.bool() {
            limits.pendingPerSession = 2
            limits.linksPerSession = 2
            limits.pendingTotal = 3
        }
        self.limits = limits
        server = BlindRelayServer(limits: limits)
    }

    static func run(_ bytes: [UInt8]) -> String? { BlindRelayScript(bytes).run() }

    private func run() -> String? {
        do {
            for index in 0..<3 {
                let key = Bytes32([UInt8](repeating: UInt8(index + 1), count: 32)) ?? .zero
                guests.append(try Guest(key, server, isOurs: index < 2))
            }
        } catch { return "no channel: \(error)" }
        carry()
        var steps = 0
        while !script.isOver, promises.broken == nil, steps < 300 {
            steps += 1
            step()
        }
        for guest in guests { guest.serverMux.carrierClosed() }
        carry()
        promises.hold(
            server.pendingCount == 0 && server.linkCount == 0,
            "every session is over, and \(server.pendingCount) pairs and \(server.linkCount) links are left")
        promises.hold(streams.isEmpty, "every session is over, and \(streams.count) streams are left")
        return promises.broken
    }

    private func token() -> Bytes32 { Bytes32([UInt8](repeating: script.byte() & 3, count: 32)) ?? .zero }

    private func step() {
        let choice = script.byte()
        let guest = guests[Int(choice >> 6) % 3]
        switch choice & 15 {
        case 0...3:
            if let client = guest.client {
                let token = token()
                if client.pair(isInitiator: script.bool(), token: token, streamID: UInt32(script.byte()), at: clock.now) {
                    guest.asked.insert(token)
                }
            } else {
                forge(guest, Pair(isInitiator: script.bool(), token: token(), streamID: script.number(), seq: script.number()).encoded, 0)
            }
        case 4, 5: if let client = guest.client { client.unpair(token()) } else { forge(guest, Unpair(token: token()).encoded, 1) }
        case 6: advance(script.milliseconds() * 100)
        case 7: if let stream = streams.sorted().first { close(stream) }
        case 8: if let stream = streams.sorted().last { close(stream) }
        case 9: guest.client?.end()
        case 10: if script.byte() & 7 == 0 { guest.serverMux.carrierClosed() }
        default: forge(guest, script.take(script.int(80)), UInt64(script.byte() & 3))
        }
        for guest in guests { hear(guest) }
        if script.byte() & 1 == 0 { carry() }
    }

    private func hear(_ guest: Guest) { for event in guest.client?.takeEvents() ?? [] { note(event, guest) } }

    private func close(_ stream: UInt32) {
        streams.remove(stream)
        server.streamClosed(stream)
    }

    private func forge(_ guest: Guest, _ message: [UInt8], _ type: UInt64) {
        guard let channel = guest.channel else { return }
        var message = message
        if script.byte() & 7 == 7 { message = script.damage(message) }
        _ = try? guest.mux.send(channel, type: type, message)
    }

    private func advance(_ milliseconds: Int64) {
        clock.run(
            until: clock.now + .milliseconds(milliseconds), limit: 200, promises,
            nextWakeUp: { guests.compactMap { $0.client?.nextWakeUp }.reduce(server.nextWakeUp, min) },
            wake: { now in
                server.advance(to: now)
                for guest in guests { guest.client?.advance(to: now) }
                carry()
            })
    }

    private func carry() {
        for _ in 0..<1000 where promises.broken == nil {
            var isBusy = false
            for guest in guests {
                for (mux, other) in [(guest.mux, guest.serverMux), (guest.serverMux, guest.mux)] {
                    for effect in mux.takeEffects() {
                        isBusy = true
                        switch effect {
                        case .send(let bytes): other.receive(bytes)
                        case .end, .destroy: other.receiveEnd()
                        case .pause, .resume: break
                        }
                    }
                }
                for event in guest.serverMux.takeEvents() { server.receive(event, from: guest.session, at: clock.now) }
                for event in guest.mux.takeEvents() { guest.client?.receive(event) }
                hear(guest)
            }
            for event in server.takeEvents() {
                isBusy = true
                note(event)
            }
            if !isBusy { return }
        }
        promises.break("the relay and its guests never come to rest")
    }

    private func note(_ event: BlindRelayServer.Event) {
        switch event {
        case .matched(let link):
            everStreams += 2
            streams.formUnion([everStreams, everStreams + 1])
            server.activate(link, initiatorStream: everStreams, responderStream: everStreams + 1)
        case .destroyStream(let stream):
            promises.hold(stream <= everStreams + 1, "a stream that never was is to be destroyed")
            streams.remove(stream)
        case .sessionClosed(let id): promises.hold(closedSessions.insert(id).inserted, "a session closed twice")
        }
        promises.hold(server.pendingCount <= limits.pendingTotal, "\(server.pendingCount) pairs are pending")
        promises.hold(server.linkCount <= limits.linksPerSession * guests.count, "\(server.linkCount) links")
    }

    private func note(_ event: BlindRelayClient.Event, _ guest: Guest) {
        switch event {
        case .paired(let token, _, _), .failed(let token, _):
            promises.hold(guest.asked.remove(token) != nil, "an answer to a question that was not asked")
        case .closed: promises.hold(guest.asked.isEmpty, "the channel closed, and \(guest.asked.count) questions have no answer")
        }
    }
}

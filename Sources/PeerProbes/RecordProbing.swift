import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import LivePeers
import SansIO
import StrictJSON

/// HyperDHT's commands on one tester socket.
final class RecordProbing {
    let dht: DHTProbing
    private var tester: UDPTester?
    let topic = Blake2b.hash256(Array("hyperconform probe".utf8))

    init(_ dht: DHTProbing) { self.dht = dht }

    var exam: Examination { dht.exam }

    func text(_ bytes: Bytes32) -> JSON { .string(Hex.encode(bytes.bytes)) }

    func key(_ number: UInt8) -> KeyPair { KeyPair(seed: Bytes32([UInt8](repeating: number, count: 32)) ?? .zero) }

    /// The peer's own idea of now.
    func milliseconds() throws -> UInt64 {
        guard let t = try dht.peer.request("clock")["t"]?.integer else { throw ProbeError("clock told no t") }
        return UInt64(clamping: t / 1000)
    }

    func socket() throws -> UDPTester {
        if let tester { return tester }
        let made = try dht.context.tester()
        tester = made
        return made
    }

    func request(
        _ node: DHTProbing.Node, _ command: HyperDHTCommand, target: Bytes32?, value: [UInt8]? = nil, token: Bytes32? = nil
    ) -> Request {
        Request(
            tid: dht.tid(), to: node.address, token: token, isInternal: false, command: command.rawValue, target: target, value: value)
    }

    func ask(
        _ node: DHTProbing.Node, _ command: HyperDHTCommand, target: Bytes32?, value: [UInt8]? = nil, token: Bytes32? = nil,
        within milliseconds: Int64 = DHTProbing.prompt
    ) throws -> Response? {
        try dht.ask(
            node, request(node, command, target: target, value: value, token: token), from: try socket(), within: milliseconds)
    }

    func expect(_ field: String, _ response: Response?) throws -> Response { try dht.expectResponse(field, response) }

    func expectSilence(
        _ field: String, _ node: DHTProbing.Node, _ command: HyperDHTCommand, target: Bytes32?, value: [UInt8]? = nil,
        token: Bytes32? = nil
    ) throws {
        let tester = try socket()
        tester.discard()
        try tester.send(request(node, command, target: target, value: value, token: token).encoded, to: node.address)
        dht.expectSilence(field, tester)
        try dht.expectAlive(node)
    }

    func token(_ node: DHTProbing.Node) throws -> Bytes32 {
        let response = try expect("FIND_PEER", ask(node, .findPeer, target: .zero))
        guard let token = response.token else {
            exam.report("token", expected: "a token", actual: "nothing")
            throw DHTProbing.Unanswered()
        }
        return token
    }

    func announcement(
        _ node: DHTProbing.Node, _ key: KeyPair, target: Bytes32, token: Bytes32, relays: [Endpoint] = [], refresh: Bytes32? = nil,
        bump: UInt64 = 0, purpose: RecordSignature.Purpose = .announce, nodeID: Bytes32? = nil
    ) -> AnnounceMessage {
        let peer = PeerRecord(publicKey: key.publicKey, relayAddresses: relays)
        let signature = RecordSignature.sign(
            purpose, target: target, token: token, nodeID: nodeID ?? NodeID.of(node.address), peer: peer, refresh: refresh, keyPair: key)
        return AnnounceMessage(peer: peer, refresh: refresh, signature: signature, bump: bump)
    }

    func announce(
        _ node: DHTProbing.Node, _ key: KeyPair, target: Bytes32, relays: [Endpoint] = [], refresh: Bytes32? = nil, bump: UInt64 = 0
    ) throws -> Response? {
        let token = try token(node)
        let message = announcement(node, key, target: target, token: token, relays: relays, refresh: refresh, bump: bump)
        return try ask(node, .announce, target: target, value: message.encoded, token: token)
    }

    func lookup(_ node: DHTProbing.Node) throws -> LookupReply? {
        guard let value = try expect("LOOKUP", ask(node, .lookup, target: topic)).value else { return nil }
        return try LookupReply(decoding: value)
    }

    func put(_ node: DHTProbing.Node, _ key: KeyPair, seq: UInt64, value: [UInt8]) throws -> Response? {
        let message = MutablePutRequest(
            publicKey: key.publicKey, seq: seq, value: value, signature: RecordSignature.signMutable(seq: seq, value: value, keyPair: key))
        return try ask(node, .mutablePut, target: key.target, value: message.encoded, token: try token(node))
    }

    func expectNoRecord(_ node: DHTProbing.Node, _ key: KeyPair) throws {
        let found = try expect("FIND_PEER", ask(node, .findPeer, target: key.target))
        exam.require("the record", found.value == nil, "stored")
    }

    /// A self announce with one thing wrong: silence, and no record. The right one passes, so that the refusal has its one reason.
    func refused(
        purpose: RecordSignature.Purpose = .announce, nodeID: Bytes32? = nil, signedTarget: Bytes32? = nil,
        change: (inout AnnounceMessage) -> Void = { _ in }
    ) throws {
        let node = try dht.bootstrapper()
        let key = key(1)
        let token = try token(node)
        var message = announcement(
            node, key, target: signedTarget ?? key.target, token: token, purpose: purpose, nodeID: nodeID)
        change(&message)
        try expectSilence("ANNOUNCE", node, .announce, target: key.target, value: message.encoded, token: token)
        try expectNoRecord(node, key)
        let right = announcement(node, key, target: key.target, token: token)
        exam.equal(
            "the right one's error",
            try expect("the right one", ask(node, .announce, target: key.target, value: right.encoded, token: token)).error, 0)
    }

    func announceTwice() throws -> LookupReply? {
        let node = try dht.bootstrapper()
        for number: UInt32 in [1, 2] {
            let relay = Endpoint(.v4(0x0a00_0000 + number), 1000 + UInt16(number))
            _ = try expect("ANNOUNCE", announce(node, key(1), target: topic, relays: [relay]))
        }
        return try lookup(node)
    }

    /// Runs a command of the peer as client against three testers; `value` is what each answers to the command of this number.
    func client(
        _ command: String, _ arguments: JSONObject, number: UInt64, value: (Int, DHTProbing.Asked) -> [UInt8]
    ) throws -> JSON {
        let testers = try (0..<3).map { _ in try dht.context.tester() }
        let node = try dht.bootstrapper(knows: testers)
        let (reply, asked) = try dht.serve(testers, during: command, arguments.with("node", node.handle)) { asked in
            var response = DHTProbing.plainAnswer(asked)
            if !asked.request.isInternal, asked.request.command == number, let index = testers.firstIndex(where: { $0 === asked.tester }) {
                response.value = value(index, asked)
            }
            return response
        }
        exam.require("\(command) asked", asked.contains { !$0.request.isInternal && $0.request.command == number }, "nobody")
        return try reply.get()
    }
}

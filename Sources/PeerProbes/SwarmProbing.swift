import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import SansIO
import StrictJSON

/// A node of the peer, a swarm or a bare one, on a network of testers.
final class SwarmProbing {
    let records: RecordProbing
    let testers: [UDPTester]
    let node: DHTProbing.Node
    let key: KeyPair
    let topic: Bytes32
    /// Keys that LOOKUP finds at every tester.
    var found: [Bytes32] = []
    /// Who is at home, and whose handshakes are noted.
    var servers: [PlayedServer] = []
    /// A tester that says nothing any more.
    var dead: UDPTester?
    /// Whether each tester's first UNANNOUNCE is left without an answer.
    var holdsUnannounce = false
    private var held: [Endpoint: UInt16] = [:]

    /// `isOpen`: a node that everybody reaches; else one that takes itself for firewalled.
    init(_ records: RecordProbing, swarm: JSONObject?, isOpen: Bool = false, nodes: Int = 3) throws {
        self.records = records
        topic = records.topic
        key = records.key(193)
        let testers = try (0..<nodes).map { _ in try records.dht.context.tester() }
        self.testers = testers
        var arguments: JSONObject = ["seed": .string(Hex.encode([UInt8](repeating: 193, count: 32)))]
        if let swarm { arguments = arguments.with("kind", "swarm").with(swarm) }
        let network: JSONObject = ["bootstrap": .array(testers.map { .endpoint($0.endpoint) }), "port": 0]
        node =
            isOpen
            ? try records.dht.bootstrapper(knows: testers, arguments) : try records.dht.start(network.with(arguments), served: testers).node
    }

    var exam: Examination { records.exam }
    var context: ProbeContext { records.dht.context }

    /// What has been announced, by target: whoever unannounces looks for its own record first.
    private var stored: [Bytes32: PeerRecord] = [:]

    /// Every request since the node was started.
    private(set) var everything: [DHTProbing.Asked] = []

    private func noted(_ asked: DHTProbing.Asked) throws -> Response? {
        everything.append(asked)
        return try answer(asked)
    }

    private func answer(_ asked: DHTProbing.Asked) throws -> Response? {
        if asked.tester === dead { return nil }
        if holdsUnannounce, !asked.request.isInternal, asked.request.command == HyperDHTCommand.unannounce.rawValue {
            let first = held[asked.tester.endpoint] ?? asked.request.tid
            held[asked.tester.endpoint] = first
            if first == asked.request.tid { return nil }
        }
        var response = DHTProbing.plainAnswer(asked)
        guard !asked.request.isInternal, let target = asked.request.target else { return response }
        switch HyperDHTCommand(rawValue: asked.request.command) {
        case .peerHandshake: return try servers.first { $0.key.target == target }?.handshake(asked)
        case .peerHolepunch: return nil
        case .findPeer: response.value = stored[target]?.encoded
        case .lookup:
            let peers = found.map { PeerRecord(publicKey: $0, relayAddresses: [testers[0].endpoint]) } + [stored[target]].compactMap(\.self)
            if !peers.isEmpty { response.value = LookupReply(peers: peers).encoded }
        case .announce: stored[target] = asked.request.value.flatMap { try? AnnounceMessage(decoding: $0).peer }
        default: break
        }
        return response
    }

    @discardableResult
    func serve(_ milliseconds: Int64, until isDone: ([DHTProbing.Asked]) -> Bool = { _ in false }) throws -> [DHTProbing.Asked] {
        try records.dht.serve(testers, milliseconds, until: isDone, answer: noted)
    }

    @discardableResult
    func serve(during command: String, _ arguments: JSONObject) throws -> [DHTProbing.Asked] {
        let (reply, asked) = try records.dht.serve(testers, during: command, arguments, answer: noted)
        _ = try reply.get()
        return asked
    }

    func listen() throws -> (server: JSON, asked: [DHTProbing.Asked]) {
        let (reply, asked) = try records.dht.serve(testers, during: "listen", ["node": node.handle], answer: noted)
        return (try reply.get().handle("server"), asked)
    }

    /// Joins the topic and waits for its first announce or lookup.
    func join(server: Bool, waits: Bool = true) throws -> [DHTProbing.Asked] {
        let topic = records.text(topic)
        var asked = try serve(during: "join", ["node": node.handle, "topic": topic, "server": .bool(server), "client": true])
        if waits { asked += try serve(during: "flush", ["node": node.handle, "topic": topic]) }
        return asked
    }

    /// Requests of a command, for a target if one is given.
    func requests(_ asked: [DHTProbing.Asked], _ command: HyperDHTCommand, _ target: Bytes32?) -> [DHTProbing.Asked] {
        asked.filter {
            !$0.request.isInternal && $0.request.command == command.rawValue && (target == nil || $0.request.target == target)
        }
    }

    /// Each tester, or so many of them, got a record of our key for the target, with its own token, at most three relays, and a signature that holds.
    func expectAnnounced(_ asked: [DHTProbing.Asked], _ target: Bytes32, _ field: String, atLeast count: Int? = nil) {
        let found = testers.compactMap { tester in
            requests(asked, .announce, target).first { $0.tester === tester }.map { (tester, $0.request) }
        }
        exam.require("\(field): nodes with an ANNOUNCE", found.count >= count ?? testers.count, "\(found.count) of \(testers.count)")
        for (tester, request) in found { check(request, .announce, at: tester, target, field) }
    }

    func expectUnannounced(_ asked: [DHTProbing.Asked], _ target: Bytes32, _ field: String) {
        for (number, tester) in testers.enumerated() {
            let request = requests(asked, .unannounce, target).first { $0.tester === tester }?.request
            exam.require("\(field): UNANNOUNCE at node \(number)", request != nil, "none")
            if let request { check(request, .unannounce, at: tester, target, field) }
        }
    }

    private func check(_ request: Request, _ purpose: RecordSignature.Purpose, at tester: UDPTester, _ target: Bytes32, _ field: String) {
        exam.equal("\(field): token", request.token, DHTProbing.token(tester))
        guard let value = request.value, let message = try? AnnounceMessage(decoding: value) else {
            return exam.report("\(field): value", expected: "an announce message", actual: Hex.encode(request.value ?? []))
        }
        exam.equal("\(field): public key", message.peer?.publicKey, key.publicKey)
        exam.require("\(field): relay addresses", (message.peer?.relayAddresses.count ?? 9) <= 3, "more than three")
        let holds = RecordSignature.verify(
            purpose, message, target: target, token: DHTProbing.token(tester), nodeID: DHTProbing.id(tester))
        exam.require("\(field): signature", holds, "does not verify")
    }
}

import CompactEncoding
import Conformance
import DHTRPC
import Foundation
import HyperCrypto
import LivePeers
import SansIO
import StrictJSON

/// A DHT node of the peer, and testers that talk to it.
final class DHTProbing {
    /// A node that the peer started.
    struct Node {
        let handle: JSON
        /// Of the server socket.
        let address: Endpoint
        let clientPort: UInt16?
        /// nil while ephemeral.
        let id: Bytes32?
    }

    /// A request of the node under test, as a tester got it.
    struct Asked {
        let tester: UDPTester
        let request: Request
        let arrival: UDPTester.Arrival
    }

    /// How long an answer may take that comes at once, and how long silence is listened to.
    static let prompt: Int64 = 2000
    static let silence: Int64 = 400

    let context: ProbeContext
    var exam: Examination { context.exam }
    var peer: PeerProcess { context.peer }
    private var nextTID = UInt16.random(in: 1...20_000)

    init(_ context: ProbeContext) { self.context = context }

    // MARK: Nodes

    /// A port that nobody holds just now.
    static func freePort(_ host: IPAddress = .loopback) throws -> UInt16 { try UDPTester(host: host).endpoint.port }

    func start(_ arguments: JSONObject) throws -> Node {
        let reply = try peer.request("start", arguments, seconds: 40)
        let handle = try reply.handle("node")
        context.afterwards { [context] in _ = try? context.peer.send("close", ["node": handle]) }
        return try describe(reply, handle)
    }

    private func describe(_ reply: JSON, _ handle: JSON) throws -> Node {
        guard let address = reply["address"]?.endpoint else { throw ProbeError("the node told no address: \(reply.text().prefix(200))") }
        return Node(
            handle: handle, address: address, clientPort: reply["clientPort"]?.integer.flatMap { UInt16(exactly: $0) },
            id: reply["nodeId"]?.string.flatMap { Hex.decode($0) }.flatMap { Bytes32($0) })
    }

    func info(_ node: Node) throws -> JSON { try peer.request("info", ["node": node.handle]) }

    /// A persistent node with an id, whose table holds these testers: each makes itself known by a PING with its id.
    func bootstrapper(knows testers: [UDPTester] = [], _ more: JSONObject = [:]) throws -> Node {
        let node = try firstNode(more)
        try introduce(testers, to: node)
        return node
    }

    func introduce(_ testers: [UDPTester], to node: Node) throws {
        for tester in testers {
            _ = try expectResponse("PING", ask(node, request(node, .ping, id: DHTProbing.id(tester)), from: tester))
        }
    }

    private func firstNode(_ more: JSONObject) throws -> Node {
        for attempt in 0..<3 {
            let first: JSONObject = ["bootstrap": [], "bootstrapper": true, "port": .integer(try DHTProbing.freePort())]
            let arguments = first.with(more)
            do { return try start(arguments) } catch let failure as PeerFailure where DHTProbing.isPortTaken(failure) && attempt < 2 {}
        }
        throw ProbeError("no free port for a bootstrapper")
    }

    private static func isPortTaken(_ failure: PeerFailure) -> Bool {
        failure.code == "BIND_FAILED" || failure.description.contains("EADDRINUSE")
    }

    // MARK: Asking

    func tid() -> UInt16 {
        nextTID &+= 1
        return nextTID
    }

    func request(
        _ node: Node, _ command: InternalCommand, target: Bytes32? = nil, value: [UInt8]? = nil, token: Bytes32? = nil, id: Bytes32? = nil
    ) -> Request {
        Request(
            tid: tid(), to: node.address, id: id, token: token, isInternal: true, command: command.rawValue, target: target, value: value)
    }

    /// The response with this tid; requests and other responses that arrive meanwhile are left out. nil: silence.
    func response(_ tester: UDPTester, tid: UInt16, within milliseconds: Int64 = DHTProbing.prompt) -> (Response, UDPTester.Arrival)? {
        let deadline = Instant.now + .milliseconds(milliseconds)
        while let (_, arrival) = UDPTester.next(of: [tester], until: deadline) {
            if let response = try? Response(decoding: arrival.payload), response.tid == tid { return (response, arrival) }
        }
        return nil
    }

    @discardableResult
    func ask(
        _ node: Node, _ request: Request, from tester: UDPTester, to address: Endpoint? = nil,
        within milliseconds: Int64 = DHTProbing.prompt
    ) throws -> Response? {
        try tester.send(request.encoded, to: address ?? node.address)
        return response(tester, tid: request.tid, within: milliseconds)?.0
    }

    func expectResponse(_ field: String, _ response: Response?) throws -> Response {
        exam.count(1)
        guard let response else {
            exam.report(field, expected: "a response", actual: "silence")
            throw Unanswered()
        }
        return response
    }

    /// A check that can't go on after what was reported.
    struct Unanswered: Error {}

    /// Nothing arrives at the tester that answers anything.
    func expectSilence(_ field: String, _ tester: UDPTester, _ milliseconds: Int64 = DHTProbing.silence) {
        let deadline = Instant.now + .milliseconds(milliseconds)
        var heard: UDPTester.Arrival?
        while heard == nil, let (_, arrival) = UDPTester.next(of: [tester], until: deadline) {
            if MessageType(of: arrival.payload) != .request { heard = arrival }
        }
        exam.equal(field, heard.map { Hex.encode($0.payload) } ?? "silence", "silence")
    }

    /// The node still answers: silence was no death.
    func expectAlive(_ node: Node) throws {
        let tester = try context.tester()
        _ = try expectResponse("a PING afterwards", ask(node, request(node, .ping), from: tester))
    }

    /// Whether FIND_NODE for the target lists an address.
    func lists(_ node: Node, _ target: Bytes32, _ address: Endpoint) throws -> Bool {
        let tester = try context.tester()
        let response = try expectResponse("FIND_NODE", ask(node, request(node, .findNode, target: target), from: tester))
        return response.closerNodes.contains(address)
    }

    func isPlainOK(_ response: Response, _ field: String) {
        exam.equal("\(field) error", response.error, 0)
        exam.require("\(field) token", response.token == nil, "present")
        exam.require("\(field) closerNodes", response.closerNodes.isEmpty, "\(response.closerNodes)")
        exam.require("\(field) value", response.value == nil, Hex.encode(response.value ?? []))
    }

    // MARK: Serving

    /// A tester as a node: its id follows from its address.
    static func id(_ tester: UDPTester) -> Bytes32 { NodeID.of(tester.endpoint) }

    /// What a well-behaved node says to anything: OK with its id, and the token that is its own.
    static func plainAnswer(_ asked: Asked, closerNodes: [Endpoint] = [], withToken: Bool = true) -> Response {
        let isPlain = asked.request.isInternal
        return Response(
            tid: asked.request.tid, to: asked.arrival.source, id: id(asked.tester),
            token: isPlain || !withToken ? nil : token(asked.tester), closerNodes: closerNodes)
    }

    static func token(_ tester: UDPTester) -> Bytes32 { Blake2b.hash256(id(tester).bytes, Array("token".utf8)) }

    /// Lets testers answer for a time, or until something holds. Returns every request that came.
    @discardableResult
    func serve(
        _ testers: [UDPTester], _ milliseconds: Int64, until isDone: ([Asked]) -> Bool = { _ in false },
        answer: (Asked) throws -> Response? = { DHTProbing.plainAnswer($0) }
    ) throws -> [Asked] {
        var log: [Asked] = []
        let deadline = Instant.now + .milliseconds(milliseconds)
        while .now < deadline, !isDone(log) {
            guard let (tester, arrival) = UDPTester.next(of: testers, until: min(deadline, .now + .milliseconds(20))) else { continue }
            guard let request = try? Request(decoding: arrival.payload) else { continue }
            let asked = Asked(tester: tester, request: request, arrival: arrival)
            log.append(asked)
            if let response = try answer(asked) { try tester.send(response.encoded, to: arrival.source) }
        }
        return log
    }

    /// Sends a command to the peer and serves until it is answered.
    func serve(
        _ testers: [UDPTester], during command: String, _ arguments: JSONObject, seconds: Int64 = 40,
        answer: (Asked) throws -> Response? = { DHTProbing.plainAnswer($0) }
    ) throws -> (reply: Result<JSON, PeerFailure>, asked: [Asked]) {
        let id = try peer.send(command, arguments)
        let asked = try serve(testers, seconds * 1000, until: { [context] _ in context.isAnswered(id) }, answer: answer)
        do { return (.success(try peer.reply(to: id, command, seconds: 1)), asked) } catch let failure as PeerFailure {
            if failure.kind == .refused { return (.failure(failure), asked) }
            throw failure
        }
    }

    /// Starts a node while testers serve its bootstrap.
    func start(_ arguments: JSONObject, served testers: [UDPTester], answer: (Asked) throws -> Response? = { DHTProbing.plainAnswer($0) })
        throws
        -> (node: Node, asked: [Asked])
    {
        let (reply, asked) = try serve(testers, during: "start", arguments, answer: answer)
        let json = try reply.get()
        let handle = try json.handle("node")
        context.afterwards { [context] in _ = try? context.peer.send("close", ["node": handle]) }
        return (try describe(json, handle), asked)
    }
}

extension Probe {
    /// A probe of a DHT node.
    static func dht(
        _ layer: String, _ slug: String, _ requirements: [String], needs: [String] = [],
        _ run: @escaping @Sendable (DHTProbing) throws -> Void
    ) -> Probe {
        Probe(layer, slug, requirements, needs: ["start"] + needs) { context in
            do { try run(DHTProbing(context)) } catch is DHTProbing.Unanswered {}
        }
    }
}

/// Little-endian bytes of a number.
func littleEndian(_ value: some FixedWidthInteger, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: UInt64(truncatingIfNeeded: value) >> UInt64(8 * $0)) }
}

import Conformance
import LivePeers
import SansIO
import StrictJSON

/// One question put to a peer from the outside.
public struct Probe: Sendable {
    /// `layer.slug`; the check's id is this after "probe.".
    public let id: String
    public let layer: String
    public let requirements: [String]
    /// Commands of the contract that it takes.
    public let needs: [String]
    let run: @Sendable (ProbeContext) throws -> Void

    init(_ layer: String, _ slug: String, _ requirements: [String], needs: [String], run: @escaping @Sendable (ProbeContext) throws -> Void)
    {
        id = "probe.\(layer).\(slug)"
        self.layer = layer
        self.requirements = requirements
        self.needs = needs
        self.run = run
    }

    /// The check of this probe on a peer of this name.
    public func check(peer: String) -> Check { Check(id, requirements, .probe, .peer(peer)) { _ in } }
}

/// What a probe works with: the peer, the examination, and whatever is to be put away afterwards.
final class ProbeContext {
    let peer: PeerProcess
    let exam: Examination
    private var cleaning: [() -> Void] = []
    private var eventCursor: Int

    init(_ peer: PeerProcess, _ exam: Examination) {
        self.peer = peer
        self.exam = exam
        eventCursor = peer.transcript.count
    }

    /// Done in reverse order when the probe is over, whatever became of it.
    func afterwards(_ body: @escaping () -> Void) { cleaning.append(body) }

    func cleanUp() {
        while let body = cleaning.popLast() { body() }
    }

    func tester(_ host: IPAddress = .loopback, port: UInt16 = 0) throws -> UDPTester { try UDPTester(host: host, port: port) }

    /// Events that came since the last call, in order.
    func newEvents() -> [JSON] {
        let transcript = peer.transcript
        defer { eventCursor = transcript.count }
        return transcript[min(eventCursor, transcript.count)...].map(\.json).filter { $0["event"] != nil }
    }

    /// Waits for an event that must come: a peer that does not tell of it has not hung, it deviates.
    func event(_ name: String, seconds: Double, where matches: (JSON) -> Bool) throws -> JSON {
        do { return try peer.event(name, seconds: seconds, where: matches) } catch let failure as PeerFailure where failure.kind == .hang {
            throw PeerDeviation("the event \(name)", expected: "within \(Int(seconds)) s", actual: "none")
        }
    }

    /// Whether a request that was sent has its answer.
    func isAnswered(_ id: Int) -> Bool {
        peer.transcript.reversed().contains { $0.json["event"] == nil && $0.json["id"]?.integer == Int64(id) }
    }

    /// A request whose failure says nothing: for putting things away.
    func quietly(_ command: String, _ arguments: JSONObject) { _ = try? peer.request(command, arguments, seconds: 2) }
}

extension JSONObject {
    func with(_ key: String, _ value: JSON) -> JSONObject {
        var copy = self
        copy.set(key, value)
        return copy
    }

    func with(_ others: JSONObject) -> JSONObject { others.members.reduce(self) { $0.with($1.key, $1.value) } }

    func at(_ endpoint: Endpoint) -> JSONObject {
        with("host", .string(endpoint.address.description)).with("port", .integer(endpoint.port))
    }
}

extension JSON {
    static func endpoint(_ endpoint: Endpoint) -> JSON {
        ["host": .string(endpoint.address.description), "port": .integer(endpoint.port)]
    }

    func handle(_ key: String) throws -> JSON {
        guard let value = self[key]?.integer else { throw ProbeError("the reply has no \(key): \(text().prefix(200))") }
        return .integer(value)
    }

    var endpoint: Endpoint? {
        guard let host = self["host"]?.string.flatMap({ IPAddress($0) }), let port = self["port"]?.integer.flatMap({ UInt16(exactly: $0) })
        else { return nil }
        return Endpoint(host, port)
    }
}

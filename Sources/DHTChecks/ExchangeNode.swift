import CompactEncoding
import DHTRPC
import SansIO
import StrictJSON

/// A datagram that the node under test sent.
struct ExchangeDatagram {
    var fromPort: UInt16
    var to: Endpoint
    var payload: [UInt8]
    /// 0: the system's (64).
    var timeToLive: UInt8
}

/// The node under test, as the exchange runner sees it: sockets are named by their ports, events have the form of the file.
protocol ExchangeNode: AnyObject {
    /// Binds and starts; `now` is the first instant.
    func start(at now: Instant) throws
    /// Local ports that are bound now.
    var boundPorts: Set<UInt16> { get }
    func receive(_ datagram: [UInt8], from source: Endpoint, atPort port: UInt16, at now: Instant)
    func advance(to now: Instant)
    var nextWakeUp: Instant { get }
    func takeDatagrams() -> [ExchangeDatagram]
    /// `{"type": "ready"}`, `{"type": "result", "of": name, "value": ...}` or `"error": ...`, `{"type": "connection", "of": ...}`, ...
    func takeEvents() -> [JSON]
    /// What the program calls on the node. Throws `ExchangeUnsupported` for a call that this node does not offer.
    func perform(_ call: JSON) throws
}

/// What calls came to, in the form of the file.
extension ExchangeNode {
    func result(_ name: String, _ value: JSON) -> JSON { ["type": "result", "of": .string(name), "value": value] }
    func failure(_ name: String, _ error: String) -> JSON { ["type": "result", "of": .string(name), "error": .string(error)] }

    /// The answer to one request.
    func pong(_ name: String, from: Endpoint, to: Endpoint, id: Bytes32?, error: UInt64 = 0) -> JSON {
        result(
            name,
            [
                "from": Exchange.json(from), "to": Exchange.json(to), "id": id.map { .string($0.description) } ?? .null,
                "error": .integer(error),
            ])
    }
}

extension ExchangeNodeSetup {
    /// Draws that a case leaves open come from a seed.
    func seededEntropy() -> SeededEntropy {
        let entropy = SeededEntropy(seed: 1)
        // "The first node of the table, in row order."
        if self.entropy["refreshTarget"] != nil { entropy.inject([0, 0, 0, 0, 0, 0, 0, 0], for: .refreshTarget) }
        return entropy
    }

    /// The sockets that a node is given, named by their ports: the first of those it asks for that is not taken.
    func sockets(_ request: BindRequest) -> NodeSockets {
        let server = (request.serverPorts + [50_000]).first { !takenPorts.contains($0) } ?? 50_000
        return NodeSockets(
            server: SocketID(UInt32(server)), serverPort: server, client: SocketID(UInt32(clientPort)), clientPort: clientPort)
    }
}

/// The node under test has no such call: the case does not run, which is not a pass.
struct ExchangeUnsupported: Error {
    let what: String
}

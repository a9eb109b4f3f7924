import DHTRPC
import HyperDHT
import NetworkSimulator
import SansIO

/// The sockets of a DHT node on a simulated network: its server and its client socket, and those that it punches with.
public struct SimulatedSockets {
    public static let server = SocketID(1)
    public static let client = SocketID(2)

    private let port: UInt16
    private var serverPort: UInt16?
    private var requests: [SocketRequest] = []

    /// The server socket gets `port`, the client socket any.
    public init(port: UInt16) { self.port = port }

    /// The node wants its two sockets.
    public mutating func bind() { requests += [.open(SimulatedSockets.server, port: port), .open(SimulatedSockets.client, port: 0)] }

    /// The node gives sockets back.
    public mutating func close(_ sockets: [SocketID]) {
        if sockets.contains(SimulatedSockets.server) { serverPort = nil }
        requests += sockets.map { .close($0) }
    }

    /// The node wants other sockets, or has no more use for them.
    public mutating func add(_ others: [PuncherSocketRequest]) {
        for request in others {
            switch request {
            case .open(let socket): requests.append(.open(socket, port: 0))
            case .close(let socket): requests.append(.close(socket))
            }
        }
    }

    /// For the simulator.
    public mutating func take() -> [SocketRequest] {
        if requests.isEmpty { return [] }
        defer { requests = [] }
        return requests
    }

    /// A socket is open. Returns what the node is bound to once both are.
    public mutating func opened(_ socket: SocketID, at local: Endpoint) -> NodeSockets? {
        if socket == SimulatedSockets.server { serverPort = local.port }
        guard socket == SimulatedSockets.client, let serverPort else { return nil }
        return NodeSockets(server: SimulatedSockets.server, serverPort: serverPort, client: socket, clientPort: local.port)
    }
}

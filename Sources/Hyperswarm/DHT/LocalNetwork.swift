import CDatagram
import DHTRPC
import HyperDHT
import SansIO

/// A whole DHT in one process, on one address: for trying things, for tests, for other implementations to live in.
public final class LocalNetwork: Sendable {
    public let nodes: [HyperDHT]
    public let endpoints: [Endpoint]
    /// What others are started with.
    public var bootstrap: Endpoint { endpoints[0] }
    private let loops: [EventLoop]

    /// Starts `count` persistent nodes on `host`: the first at `port` (0: any free one), the others at any. They take turns on `threads` event loops.
    public init(
        count: Int, host: IPAddress = .loopback, port: UInt16 = 0, options: DatagramOptions = DatagramOptions(), threads: Int = 1
    ) async throws {
        guard count >= 1 else { throw StreamFailure(code: "BAD_REQUEST", message: "a network has at least one node") }
        let loops = try (0..<max(1, threads)).map { _ in try EventLoop() }
        self.loops = loops
        do {
            let first = try await LocalNetwork.first(host, port, options, loops[0])
            let address = try await first.info().address
            let others = try await withThrowingTaskGroup(of: (Int, HyperDHT, Endpoint).self) { group in
                func add(_ number: Int) {
                    group.addTask {
                        var settings = HyperDHTOptions()
                        settings.host = host
                        settings.port = 0
                        settings.bootstrap = [BootstrapEntry(address)]
                        settings.datagrams = options
                        settings.node.rpc.persistence = .atStart
                        settings.node.rpc.firewalled = false
                        let node = try await HyperDHT(settings, loop: loops[number % loops.count])
                        try await node.ready()
                        return (number, node, try await node.info().address)
                    }
                }
                // A few at a time: a hundred that all ask one another before anybody is ready wait for time-outs.
                var all: [(Int, HyperDHT, Endpoint)] = []
                for number in 1..<max(1, min(count, 9)) { add(number) }
                var next = 9
                while let node = try await group.next() {
                    all.append(node)
                    if next < count {
                        add(next)
                        next += 1
                    }
                }
                return all.sorted { $0.0 < $1.0 }
            }
            nodes = [first] + others.map { $0.1 }
            endpoints = [address] + others.map { $0.2 }
        } catch {
            for loop in loops { await loop.stop() }
            throw error
        }
    }

    private static func first(_ host: IPAddress, _ port: UInt16, _ datagrams: DatagramOptions, _ loop: EventLoop) async throws -> HyperDHT {
        var failure: any Error = StreamFailure(code: "BIND_FAILED", message: "no free port")
        for _ in 0..<(port == 0 ? 16 : 1) {
            do {
                var options = try HyperDHTOptions.firstNode(host: host, port: port)
                options.datagrams = datagrams
                let node = try await HyperDHT(options, loop: loop)
                try await node.ready()
                return node
            } catch { failure = error }
        }
        throw failure
    }

    /// Requests that all nodes have handled, by command.
    public func handledRequests() async throws -> [(command: String, count: Int)] {
        var application = [Int](repeating: 0, count: 11)
        var inner = [Int](repeating: 0, count: InternalCommand.allCases.count)
        for node in nodes {
            let info = try await node.info()
            for (index, count) in info.statistics.requests.enumerated() where index < application.count { application[index] += count }
            for (index, command) in info.rpcStatistics.commands.enumerated() where index < inner.count { inner[index] += command.received }
        }
        return zip(InternalCommand.allCases, inner).map { ($0.name, $1) }
            + application.enumerated().map { (HyperDHTCommand(rawValue: UInt64($0.offset)).description, $0.element) }
    }

    /// Takes the whole network down, without leave.
    public func stop() async {
        for node in nodes.reversed() { await node.destroy(force: true) }
        for loop in loops { await loop.stop() }
    }
}

extension HyperDHTOptions {
    /// The first node of a network at any free port, or at `port`. It has to know its own address before it starts: a free port is found by opening
    /// it once.
    public static func firstNode(host: IPAddress = .loopback, port: UInt16 = 0) throws -> HyperDHTOptions {
        var chosen = port
        if chosen == 0 { chosen = try DatagramSocket(.v4, local: Endpoint(host, 0), arena: DatagramArena()).local.port }
        return .bootstrapper(Endpoint(host, chosen))
    }
}

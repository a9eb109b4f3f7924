import CompactEncoding
import DHTRPC
import HyperDHT
import Hyperswarm
import SansIO

/// The processes of `bench dht`: each says one line of JSON when it is ready, and lives until its input ends.
enum DHTRoles {
    static func node(_ bootstrap: Endpoint) async throws -> HyperDHT {
        var options = HyperDHTOptions()
        options.host = .loopback
        options.port = 0
        options.bootstrap = [BootstrapEntry(bootstrap)]
        let dht = try await HyperDHT(options)
        try await dht.ready()
        return dht
    }

    static func network(_ count: Int) async throws {
        let network = try await LocalNetwork(count: count, threads: 2)
        let dht = try await node(network.bootstrap)
        let server = try await dht.createServer()
        let taking = Task { for await _ in server.connections {} }
        say("{\"port\":\(network.bootstrap.port),\"publicKey\":\"\(Hex.encode(server.publicKey.bytes))\"}")
        while readLine() != nil {}
        taking.cancel()
    }

    /// A server in a process of its own; answers each line with its resident set.
    static func server(_ bootstrap: Endpoint) async throws {
        let dht = try await node(bootstrap)
        let server = try await dht.createServer()
        let taking = Task {
            var held: [PeerConnection] = []
            for await connection in server.connections { held.append(connection) }
        }
        say("{\"publicKey\":\"\(Hex.encode(server.publicKey.bytes))\"}")
        while readLine() != nil { say("{\"resident\":\(Usage.residentKiB)}") }
        taking.cancel()
    }

    /// Opens connections, twenty at a time, and leaves them idle.
    static func idle(_ bootstrap: Endpoint, _ key: Bytes32, _ count: Int) async throws {
        let dht = try await node(bootstrap)
        let before = Usage.residentKiB
        var all: [PeerConnection] = []
        while all.count < count {
            let some = min(20, count - all.count)
            all += try await withThrowingTaskGroup(of: PeerConnection.self) { group in
                for _ in 0..<some { group.addTask { try await dht.connect(to: key) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
        }
        try await Task.sleep(for: .seconds(2))
        say("{\"before\":\(before),\"after\":\(Usage.residentKiB),\"open\":\(try await dht.info().connections)}")
        while readLine() != nil {}
        withExtendedLifetime(all) {}
    }
}

/// Topics that nobody asked for before.
actor Topics {
    private var number: UInt64 = 0

    func next() -> Bytes32 {
        number += 1
        return Bytes32(bigEndianWords: (number &* 0x9e37_79b9_7f4a_7c15, number, 7, 7))
    }
}

/// How often something ends in a second, and the CPU time that one costs this process.
struct Rate {
    var count: Int
    var perSecond: Double
    var cpuMilliseconds: Double

    static func measure(seconds: Double, width: Int, _ body: @escaping @Sendable () async throws -> Void) async throws -> Rate {
        let before = Usage.now
        let start = SystemClock.now
        func elapsed() -> Double { Double((SystemClock.now - start).microseconds) / 1e6 }
        let count = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<width {
                group.addTask {
                    var count = 0
                    while elapsed() < seconds {
                        try await body()
                        count += 1
                    }
                    return count
                }
            }
            return try await group.reduce(0, +)
        }
        return Rate(
            count: count, perSecond: Double(count) / elapsed(), cpuMilliseconds: Usage.now.cpu(since: before) * 1000 / Double(max(1, count))
        )
    }
}

import CompactEncoding
import Conformance
import DHTRPC
import NetworkSimulator
import SansIO

/// Whole networks of bare dht-rpc nodes under the virtual clock.
enum DHTRPCSimulationChecks {
    static let checks: [Check] = [
        Check(
            "dht.simulation.network", ["DHT-31", "DHT-37", "DHT-41", "DHT-45", "DHT-48"], .simulation
        ) { try network($0) },
        Check("dht.simulation.repeats", ["DHT-31"], .simulation) { try repeats($0) },
    ]

    private static func target(_ n: Int) -> Bytes32 { NodeID.of(Endpoint(.v4(0x7f01_0000 + UInt32(n)), 9)) }

    /// Sixty nodes join; searches find the true closest; a fifth vanishes at once; searches recover.
    private static func network(_ exam: Examination) throws {
        let network = DHTRPCSimulation(seed: exam.seed)
        for _ in 0..<60 {
            network.join()
            try network.run(.seconds(1))
        }
        try network.run(.seconds(20))
        exam.require("all are persistent", network.nodes.allSatisfy { $0.node.isPersistent })
        exam.require("all know many", network.nodes.allSatisfy { $0.node.tableCount >= 20 })
        func search(_ numbers: Range<Int>, _ what: String) throws {
            var complete = 0
            defer {
                exam.require(
                    "\(what): nineteen or more of the true twenty", complete * 4 >= numbers.count * 3, "\(complete) of \(numbers.count)")
            }
            for number in numbers {
                var searcher = (number * 7 + 3) % network.nodes.count
                while network.down.contains(searcher) { searcher = (searcher + 1) % network.nodes.count }
                var options = QueryOptions()
                options.commit = .same
                let (outcome, time) = try network.search(from: searcher, target(number), options)
                let found = outcome?.closestReplies.map(\.from) ?? []
                let truth = network.closest(to: target(number), but: searcher)
                let hits = found.filter(truth.contains).count
                if hits >= 19 { complete += 1 }
                exam.at("\(what), search \(number)") {
                    exam.require("true closest found", hits >= 17, "\(hits) of 20")
                    exam.equal("failure", outcome?.failure, nil)
                    exam.require("time", time < .seconds(10), "\(time.milliseconds) ms")
                }
            }
        }
        try search(0..<12, "whole network")
        for index in stride(from: 3, to: 60, by: 5) { network.vanish(index) }
        // The first searches meet the dead; timeouts and hints clear the tables.
        for number in 100..<104 { _ = try network.search(from: (number * 7) % 3, target(number)) }
        // A refresh around every node: five minutes.
        try network.run(.seconds(330))
        try search(200..<208, "after a fifth vanished")
        let strays = network.nodes.indices.filter { !network.down.contains($0) }.map { index in
            network.nodes[index].node.tableNodes.filter { entry in
                network.down.contains { DHTRPCSimulation.endpoint($0) == entry.endpoint }
            }.count
        }.reduce(0, +)
        exam.require("dead nodes leave the tables", strays < 12 * 48 / 4, "\(strays) entries of the dead are left")
    }

    /// The same seed gives the same network, datagram for datagram.
    private static func repeats(_ exam: Examination) throws {
        func trace(_ seed: UInt64) throws -> [[UInt8]] {
            let network = DHTRPCSimulation(seed: seed)
            var packets: [[UInt8]] = []
            network.simulation.tap = { packets.append($0.payload) }
            for _ in 0..<8 {
                network.join()
                try network.run(.seconds(1))
            }
            _ = try network.search(from: 5, target(1))
            return packets
        }
        let first = try trace(exam.seed)
        exam.require("packets flow", first.count > 50, "\(first.count)")
        exam.equal("twice the same", try trace(exam.seed) == first, true)
        exam.equal("another seed, other packets", try trace(exam.seed &+ 1) == first, false)
    }
}

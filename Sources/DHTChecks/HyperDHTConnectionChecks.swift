import Conformance
import HyperDHT
import NetworkSimulator
import SansIO
import UDX

/// Open connections: keepalives, pools.
enum HyperDHTConnectionChecks {
    static let checks: [Check] = [
        Check("hyperdht.keepalive", ["HDHT-70"], .simulation) { exam in
            for isOn in [true, false] {
                try exam.at(isOn ? "keepalive on" : "keepalive off") { try keepAlive(exam, isOn: isOn) }
            }
        },
        Check("hyperdht.connects-in-a-row", ["HDHT-40"], .simulation) { exam in try connectsInARow(exam) },
        Check("hyperdht.pool-crossing", ["HDHT-65"], .simulation) { exam in
            try pool(exam, crossing: true)
        },
        Check("hyperdht.pool-second-dial", ["HDHT-65"], .simulation) { exam in
            try pool(exam, crossing: false)
        },
    ]

    /// An idle pair for a minute: data packets each way.
    private static func keepAlive(_ exam: Examination, isOn: Bool) throws {
        let network = HyperDHTSimulation(seed: exam.seed)
        try network.start(core: 4)
        let server = network.addUser { if !isOn { $0.connectionKeepAlive = nil } }
        let client = network.addUser { if !isOn { $0.connectionKeepAlive = nil } }
        try network.run(seconds: 10) { server.node.isReady && client.node.isReady }
        let key = try HyperDHTConnectChecks.keyPair(1)
        let id = try network.command(server) { try $0.listen(key) }
        try network.run(seconds: 10) { server.isListening(id) }
        let connection = network.command(client) { $0.connect(key.publicKey) }
        exam.require("connected", try network.run(seconds: 10) { client.isConnected(connection) && !server.accepted.isEmpty })
        try network.run(seconds: 7)
        var frames: [UInt32: Int] = [:]
        network.simulation.tap = { packet in
            guard let header = try? PacketHeader(decoding: packet.payload), packet.payload.count > PacketHeader.size else { return }
            // An empty message: 3 bytes of length, 17 of box. The datagram also carries an acknowledgement when there is one to make.
            if packet.payload.count == PacketHeader.size + 20 { frames[header.streamID.rawValue, default: 0] += 1 }
        }
        try network.run(seconds: 60)
        let info = client.node.info(of: connection)
        exam.require("still open", info != nil)
        for (name, stream) in [("to the client", info?.localStreamID), ("to the server", info?.remoteStreamID)] {
            let count = stream.flatMap { frames[$0] } ?? 0
            if isOn {
                exam.require("empty messages \(name) in a minute", (11...13).contains(count), "\(count)")
            } else {
                exam.equal("empty messages \(name)", count, 0)
            }
        }
        exam.equal("nothing reaches the application", client.data(of: connection).count, 0)
    }

    /// The bounds on handshakes are against clients that only knock: one that connects as often as it likes never meets them.
    private static func connectsInARow(_ exam: Examination) throws {
        let network = HyperDHTSimulation(seed: exam.seed)
        try network.start(core: 4)
        let server = network.addUser {
            $0.limits.handshakesPerSecondAndHost = 2
            $0.limits.handshakesPerServer = 3
        }
        let client = network.addUser()
        try network.run(seconds: 10) { server.node.isReady && client.node.isReady }
        let key = try HyperDHTConnectChecks.keyPair(1)
        let id = try network.command(server) { try $0.listen(key) }
        try network.run(seconds: 10) { server.isListening(id) }
        for number in 1...8 {
            let connection = network.command(client) { $0.connect(key.publicKey) }
            // Before a request would be repeated.
            let simulation = network.simulation
            exam.require(
                "connect \(number)",
                try simulation.run(until: simulation.now + .milliseconds(500)) {
                    client.isConnected(connection) && server.accepted.count == number
                })
            // Until the server has read something of it.
            _ = try simulation.run(until: simulation.now + .milliseconds(50)) { false }
            network.command(client) { $0.destroy(connection) }
        }
        exam.equal("refused", server.node.statistics.dropped[.handshakesTooOften] ?? 0, 0)
        exam.equal("too many", server.node.statistics.dropped[.tooManyHandshakes] ?? 0, 0)
    }

    /// Two nodes with a pool each. Crossing: both dial. Otherwise one dials, then the other.
    private static func pool(_ exam: Examination, crossing: Bool) throws {
        let network = HyperDHTSimulation(seed: exam.seed)
        try network.start(core: 6)
        let sides = [network.nodes[4], network.nodes[5]]
        let keys = [try HyperDHTConnectChecks.keyPair(1), try HyperDHTConnectChecks.keyPair(2)]
        var pools: [ConnectionPoolID] = []
        for (node, key) in zip(sides, keys) {
            let pool = network.command(node) { $0.makePool() }
            pools.append(pool)
            var options = ServerOptions()
            options.pool = pool
            let id = try network.command(node) { try $0.listen(key, options: options) }
            exam.require("listening", try network.run(seconds: 10) { node.isListening(id) })
        }
        func dial(_ from: Int, _ to: Int) {
            var options = ConnectOptions()
            options.keyPair = keys[from]
            options.pool = pools[from]
            network.command(sides[from]) { $0.connect(keys[to].publicKey, options: options) }
        }
        dial(0, 1)
        if crossing { dial(1, 0) }
        try network.run(seconds: 20)
        if !crossing {
            // The pool gives the connection that is there.
            var options = ConnectOptions()
            options.keyPair = keys[1]
            options.pool = pools[1]
            let existing = sides[1].node.connections(in: pools[1])
            let again = network.command(sides[1]) { $0.connect(keys[0].publicKey, options: options) }
            exam.equal("the same connection", [again], existing)
            try network.run(seconds: 10)
        }
        let survivors = zip(sides, pools).map { node, pool in node.node.connections(in: pool).compactMap { node.node.info(of: $0) } }
        exam.equal("survivors", survivors.map(\.count), [1, 1])
        guard let first = survivors[0].first, let second = survivors[1].first else { return }
        exam.bytes("one and the same", first.handshakeHash, second.handshakeHash)
        // The side with the larger key keeps the newer one, which the other side made.
        let largerIsFirst = keys[0].publicKey > keys[1].publicKey
        if crossing { exam.equal("made by the side with the smaller key", first.isInitiator, !largerIsFirst) }
        let duplicates = sides.flatMap(\.events).filter {
            if case .connectionClosed(_, .duplicateConnection) = $0 { true } else { false }
        }
        exam.equal("duplicates were destroyed", !duplicates.isEmpty, crossing)
    }
}

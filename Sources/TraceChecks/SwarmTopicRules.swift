import CompactEncoding
import Dissection
import HyperDHT
import StrictJSON

/// Who announces the topics that swarms join. SWARM-4.
enum SwarmTopicRules {
    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        clientsOnly(context, &report)
    }

    /// Who joins a topic as a client alone never announces it.
    private static func clientsOnly(_ context: TraceContext, _ report: inout TraceReport) {
        struct Join: Hashable {
            let key: Bytes32
            let topic: Bytes32
        }
        var asClient: Set<Join> = []
        var asServer: Set<Join> = []
        func key(_ json: JSON?) -> Bytes32? { json?.string.flatMap { Hex.decode($0) }.flatMap { Bytes32($0) } }
        for input in context.bundle.inputs {
            guard case .call("Hyperswarm", let id, "join", let arguments) = input.kind, let own = key(id["publicKey"]),
                let topic = key(arguments.first)
            else { continue }
            let join = Join(key: own, topic: topic)
            if arguments.dropFirst().first?["server"]?.bool ?? true { asServer.insert(join) } else { asClient.insert(join) }
        }
        guard !asClient.isEmpty else { return }
        for exchange in context.dissection.exchanges
        where !exchange.isInternal && exchange.commandNumber == HyperDHTCommand.announce.rawValue {
            guard let target = exchange.target, case .announce(let message)? = HyperDHTRules.value(context, exchange.request),
                let peer = message.peer?.publicKey
            else { continue }
            let join = Join(key: peer, topic: target)
            report.check(
                "hyperswarm.client-only", !asClient.contains(join) || asServer.contains(join), context.number(exchange.request),
                "dht-rpc.command", nil, "\(peer) joined the topic as a client, and announces it")
        }
        report.count("hyperswarm.client-only", asClient.count)
    }
}

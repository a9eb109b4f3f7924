import CompactEncoding
import Dissection
import HyperCrypto
import HyperDHT
import KeyLog
import PacketCapture
import SansIO
import StrictJSON

/// Which of several connections between two swarms survive, and who announces. SWARM-4, 15a, 16, 32.
enum SwarmConnectionRules {
    private struct Connection {
        let initiator: Bytes32
        let responder: Bytes32
        /// Both directions.
        let flows: [UDXFlow]
        let begin: Int64
        /// When it was ended or destroyed; nil while it lived.
        let end: Int64?
        let number: Int
    }

    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        clientsOnly(context, &report)
        connections(context, &report)
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

    private static func connections(_ context: TraceContext, _ report: inout TraceReport) {
        let swarms = Set(
            context.bundle.inputs.compactMap { input -> Bytes32? in
                guard case .call("Hyperswarm", let id, _, _) = input.kind else { return nil }
                return id["publicKey"]?.string.flatMap { Hex.decode($0) }.flatMap { Bytes32($0) }
            })
        guard !swarms.isEmpty else { return }
        let all = gather(context).filter { swarms.contains($0.initiator) && swarms.contains($0.responder) }
        let last = context.packets.last?.packet.timeNanoseconds ?? 0
        for (position, one) in all.enumerated() {
            for other in all[(position + 1)...]
            where Set([one.initiator, one.responder]) == Set([other.initiator, other.responder]) {
                let overlap = min(one.end ?? last, other.end ?? last) - max(one.begin, other.begin)
                guard overlap > 0 else { continue }
                report.check(
                    "hyperswarm.single", overlap < 3_000_000_000, max(one.number, other.number), "secret-stream", nil,
                    "two connections between the same swarms for \(overlap / 1_000_000) ms")
                // Dials that crossed: that of the greater key survives.
                guard one.initiator != other.initiator, overlap < 3_000_000_000 else { continue }
                let survivor = (one.end ?? last) > (other.end ?? last) ? one : other
                let life = abs((one.end ?? last) - (other.end ?? last))
                guard life > 1_000_000_000, abs(one.begin - other.begin) < 1_000_000_000 else { continue }
                report.check(
                    "hyperswarm.crossing", survivor.responder < survivor.initiator, survivor.number, "secret-stream", nil,
                    "of two dials that crossed the one of the lesser key survives")
            }
        }
    }

    private static func gather(_ context: TraceContext) -> [Connection] {
        var keys: [[UInt8]: (initiator: Bytes32, responder: Bytes32)] = [:]
        for entry in context.bundle.keyLog?.entries ?? [] {
            guard case .secretStream(let record) = entry.record, let remote = record.remotePublicKey, record.udx != nil else { continue }
            keys[record.handshakeHash] = record.isInitiator ? (record.publicKey, remote) : (remote, record.publicKey)
        }
        var order: [[UInt8]] = []
        var flows: [[UInt8]: [UDXFlow]] = [:]
        for stream in context.dissection.secretStreams {
            guard let flow = stream.flow.map({ context.dissection.flows[$0] }), flow.relayedFrom == nil else { continue }
            if flows[stream.handshakeHash] == nil { order.append(stream.handshakeHash) }
            flows[stream.handshakeHash, default: []].append(flow)
        }
        return order.compactMap { hash in
            guard let key = keys[hash], let own = flows[hash], own.count == 2, let first = own.compactMap(\.packets.first).max() else {
                return nil
            }
            let ends = own.compactMap { flow -> Int? in
                flow.destroyed ?? flow.packets.first { UDXRules.message(context, $0)?.header.type.contains(.end) ?? false }
            }
            return Connection(
                initiator: key.initiator, responder: key.responder, flows: own, begin: UDXRules.time(context, first),
                end: ends.min().map { UDXRules.time(context, $0) }, number: context.number(first))
        }
    }
}

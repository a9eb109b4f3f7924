import CompactEncoding
import Dissection
import HyperCrypto
import KeyLog
import PacketCapture
import SansIO
import StrictJSON

/// What goes through secret streams, held against the recorded calls: one frame a write, in order, and nothing else; keepalives.
/// SS-13, 16, 29, 30; HDHT-70; RELAY-15; SWARM-31.
enum StreamRules {
    struct Owner: Hashable {
        let publicKey: Bytes32
        let remotePublicKey: Bytes32
        let isInitiator: Bool
    }

    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        guard !context.isCut else { return }
        let writes = writes(context.bundle)
        let owners = owners(context)
        var connections: [Owner: Set<[UInt8]>] = [:]
        for (hash, found) in owners { for owner in found { connections[owner, default: []].insert(hash) } }
        for stream in context.dissection.secretStreams {
            guard let flow = stream.flow.map({ context.dissection.flows[$0] }), flow.relayedFrom == nil, flow.gap == nil else { continue }
            keepalives(context, stream, flow, &report)
            guard recordsWrites(context.bundle),
                let owner = owners[stream.handshakeHash]?.first(where: { $0.isInitiator == stream.isFromInitiator }),
                connections[owner]?.count == 1, !isRelayLeg(context, flow)
            else { continue }
            written(context, stream, flow, writes[owner] ?? [], &report)
        }
        hashes(context, &report)
    }

    /// Whether the bundle's calls are those of the reference's classes: the calls of peers behind the contract name no stream by its keys.
    private static func recordsWrites(_ bundle: TraceBundle) -> Bool {
        bundle.inputs.contains {
            if case .call(let object, _, _, _) = $0.kind { ["SecretStream", "UDXStream", "HyperDHT"].contains(object) } else { false }
        }
    }

    /// A stream that goes through a relay, or left one, is spread over several flows.
    private static func isRelayLeg(_ context: TraceContext, _ flow: UDXFlow) -> Bool {
        context.dissection.flows.contains { $0.relayedFrom.map { context.dissection.flows[$0].streamID == flow.streamID } ?? false }
            || UDXRules.isRelayed(context, flow)
    }

    private static func writes(_ bundle: TraceBundle) -> [Owner: [JSON]] {
        var result: [Owner: [JSON]] = [:]
        func key(_ json: JSON?) -> Bytes32? { json?.string.flatMap { Hex.decode($0) }.flatMap { Bytes32($0) } }
        for input in bundle.inputs {
            guard case .call("SecretStream", let id, "write", let arguments) = input.kind, let own = key(id["publicKey"]),
                let remote = key(id["remotePublicKey"]), let isInitiator = id["initiator"]?.bool
            else { continue }
            result[Owner(publicKey: own, remotePublicKey: remote, isInitiator: isInitiator), default: []].append(arguments.first ?? .null)
        }
        return result
    }

    /// Who speaks in each handshake, as the key log tells; both sides of it if both were logged.
    private static func owners(_ context: TraceContext) -> [[UInt8]: [Owner]] {
        var result: [[UInt8]: [Owner]] = [:]
        for entry in context.bundle.keyLog?.entries ?? [] {
            guard case .secretStream(let record) = entry.record, let remote = record.remotePublicKey, record.udx != nil else { continue }
            let owner = Owner(publicKey: record.publicKey, remotePublicKey: remote, isInitiator: record.isInitiator)
            if !(result[record.handshakeHash]?.contains(owner) ?? false) { result[record.handshakeHash, default: []].append(owner) }
        }
        return result
    }

    private static func matches(_ plaintext: [UInt8], _ write: JSON) -> Bool {
        if let text = write.string { return plaintext == Array(text.utf8) || Hex.decode(text) == plaintext }
        if let count = write["bytes"]?.integer, Int(clamping: count) != plaintext.count { return false }
        return write["sha256"]?.string.map { SHA256.hash(plaintext).description == $0 } ?? true
    }

    private static func written(
        _ context: TraceContext, _ stream: SecretStreamTrace, _ flow: UDXFlow, _ writes: [JSON], _ report: inout TraceReport
    ) {
        for (position, frame) in stream.frames.enumerated() {
            report.check(
                "secret-stream.written", writes.indices.contains(position) && matches(frame.plaintext, writes[position]),
                context.number(frame.packet), "secret-stream.plaintext", nil,
                writes.indices.contains(position)
                    ? "frame \(position + 1) is not what was written" : "frame \(position + 1), where \(writes.count) writes were made")
        }
        guard flow.endSeq != nil, flow.destroyed == nil else { return }
        report.check(
            "secret-stream.written", stream.frames.count == writes.count, flow.packets.last.map { context.number($0) } ?? 0,
            "secret-stream.plaintext", nil, "\(writes.count) writes were made, \(stream.frames.count) frames left")
    }

    /// An idle direction says something every five seconds.
    private static func keepalives(_ context: TraceContext, _ stream: SecretStreamTrace, _ flow: UDXFlow, _ report: inout TraceReport) {
        guard context.bundle.manifest?.peers.contains(where: { $0.serverPort != nil }) ?? false, !stream.frames.isEmpty else { return }
        let reverse = flow.reverse.map { context.dissection.flows[$0] }
        var times = stream.frames.map { UDXRules.time(context, $0.packet) }
        // It lives until either side ends or destroys it.
        let ends = [flow, reverse].compactMap { $0 }.compactMap { flow -> Int64? in
            let end = flow.destroyed ?? flow.packets.first { UDXRules.message(context, $0)?.header.type.contains(.end) ?? false }
            return end.map { UDXRules.time(context, $0) }
        }
        if let end = ends.min() { times.append(max(end, times.last ?? end)) }
        for (position, pair) in zip(times, times.dropFirst()).enumerated() {
            let gap = pair.1 - pair.0
            report.check(
                "secret-stream.keepalive", gap < 9_000_000_000, context.number(stream.frames[position].packet), "secret-stream.frame", nil,
                "nothing for \(gap / 1_000_000) ms after this frame, where a keepalive is due every 5 s")
        }
        let isAlone = context.dissection.secretStreams.filter { $0.isFromInitiator == stream.isFromInitiator }.count == 1
        for (position, frame) in stream.frames.enumerated() where frame.isKeepalive && position > 0 && isAlone {
            let gap = times[position] - times[position - 1]
            report.check(
                "secret-stream.keepalive", gap > 3_500_000_000, context.number(frame.packet), "secret-stream.frame", nil,
                "a keepalive \(gap / 1_000_000) ms after another frame")
        }
    }

    /// Both sides end the handshake with one hash of 64 bytes and each other's keys.
    private static func hashes(_ context: TraceContext, _ report: inout TraceReport) {
        var known: [[UInt8]: SecretStreamRecord] = [:]
        for entry in context.bundle.keyLog?.entries ?? [] {
            guard case .secretStream(let record) = entry.record else { continue }
            report.check(
                "secret-stream.hash", record.handshakeHash.count == 64, 0, "keylog.handshakeHash", nil,
                "a handshake hash of \(record.handshakeHash.count) bytes")
            if let other = known[record.handshakeHash], other.isInitiator != record.isInitiator {
                report.check(
                    "secret-stream.hash", other.txKey == record.rxKey && other.rxKey == record.txKey, 0, "keylog.tx", nil,
                    "two sides of one handshake have different keys")
            }
            known[record.handshakeHash] = record
        }
    }
}

import CompactEncoding
import Conformance
import Dissection
import HyperCrypto
import KeyLog
import Noise
import SecretStream

/// Handshakes and streams of the recordings, recomputed and opened by our code.
enum EncryptionTraceChecks {
    static let noise: [Check] = [
        TraceCheck.check("noise.trace-recomputed", ["NOISE-3"], .codec) { bundle, audit in
            var outcome = TraceCheck.Outcome(
                comparisons: noiseLines(bundle.keyLog), findings: audit.findings.filter { $0.rule == "dissection.noise" })
            let verified = audit.dissection.verified.noise
            if outcome.comparisons != verified, outcome.findings.isEmpty {
                outcome.findings.append(
                    TraceFinding(
                        rule: "noise", packet: 0, field: "noise", offset: nil,
                        message: "\(verified) of \(outcome.comparisons) logged handshakes came out the same"))
            }
            return outcome
        },
        TraceCheck.check("noise.trace-holepunch-secret", ["NOISE-24"], .codec) { bundle, _ in
            var outcome = TraceCheck.Outcome()
            var secrets: Set<Bytes32> = []
            for entry in bundle.keyLog?.entries ?? [] {
                if case .noise(let record) = entry.record { secrets.insert(HandshakeResult.holepunchSecret(hash: record.hash)) }
            }
            for entry in bundle.keyLog?.entries ?? [] {
                guard case .holepunch(let record) = entry.record else { continue }
                outcome.comparisons += 1
                if !secrets.contains(record.sharedSecret) {
                    outcome.findings.append(
                        TraceFinding(
                            rule: "noise", packet: 0, field: "holepunch.sharedSecret", offset: nil,
                            message: "no logged handshake gives the secret \(record.sharedSecret)"))
                }
            }
            return outcome
        },
        TraceCheck.check("noise.trace-same-answer", ["NOISE-12"], .recording) { _, audit in
            var outcome = TraceCheck.Outcome()
            var answers: [[UInt8]: (answer: [UInt8], packet: Int)] = [:]
            for handshake in audit.dissection.handshakes where handshake.messages.count >= 2 {
                outcome.comparisons += handshake.carriers.reduce(0) { $0 + $1.count }
                let carrier = handshake.carriers[1].first.map { audit.dissection.packets[$0].number } ?? 0
                if let known = answers[handshake.messages[0]], known.answer != handshake.messages[1] {
                    outcome.findings.append(
                        TraceFinding(
                            rule: "noise", packet: carrier, field: "noise", offset: nil,
                            message: "another answer than packet \(known.packet) to the same message"))
                }
                answers[handshake.messages[0]] = (handshake.messages[1], carrier)
            }
            return outcome
        },
        TraceCheck.check("noise.trace-fresh", ["NOISE-13"], .recording) { _, audit in
            var outcome = TraceCheck.Outcome()
            var seen: Set<[UInt8]> = []
            for handshake in audit.dissection.handshakes {
                for (number, message) in handshake.messages.prefix(2).enumerated() where message.count >= 32 {
                    outcome.comparisons += 1
                    if !seen.insert(Array(message.prefix(32))).inserted {
                        let packet =
                            handshake.carriers.indices.contains(number)
                            ? handshake.carriers[number].first.map { audit.dissection.packets[$0].number } ?? 0 : 0
                        outcome.findings.append(
                            TraceFinding(
                                rule: "noise", packet: packet, field: "noise.e", offset: nil,
                                message: "an ephemeral key that was used before"))
                    }
                }
            }
            return outcome
        },
    ]

    private static func noiseLines(_ keyLog: KeyLog?) -> Int {
        (keyLog?.entries ?? []).reduce(0) { if case .noise = $1.record { $0 + 1 } else { $0 } }
    }

    static let secretStream: [Check] = [
        TraceCheck.check("secret-stream.trace-frames", ["SS-12"], .codec) { _, audit in
            let rules: Set<String> = ["dissection.tag", "dissection.order", "dissection.reencode"]
            return TraceCheck.Outcome(
                comparisons: audit.dissection.secretStreams.reduce(0) { $0 + $1.frames.count },
                findings: audit.findings.filter { rules.contains($0.rule) && $0.field.hasPrefix("secret-stream.") })
        },
        TraceCheck.check("secret-stream.trace-headers", ["SS-2"], .codec) { _, audit in
            TraceCheck.Outcome(
                comparisons: audit.dissection.secretStreams.filter { $0.flow != nil && !$0.frames.isEmpty }.count,
                findings: audit.findings.filter { $0.rule == "dissection.header" })
        },
        TraceCheck.check("secret-stream.trace-ends", ["SS-18", "SS-21"], .recording) { _, audit in
            TraceCheck.Outcome(
                comparisons: audit.dissection.secretStreams.filter { !$0.frames.isEmpty }.count,
                findings: audit.findings.filter { $0.rule == "dissection.order" })
        },
        TraceCheck.check("secret-stream.trace-messages", ["SS-22"], .codec) { _, audit in
            TraceCheck.Outcome(
                comparisons: audit.dissection.secretStreams.reduce(0) { $0 + $1.messages.count },
                findings: audit.findings.filter { $0.field.hasPrefix("unordered message.") })
        },
        TraceCheck.check("secret-stream.trace-xx", ["SS-1"], .codec) { _, audit in
            let overTCP = audit.dissection.secretStreams.filter { $0.flow == nil }
            return TraceCheck.Outcome(
                comparisons: overTCP.reduce(0) { $0 + $1.frames.count },
                findings: overTCP.isEmpty ? [] : audit.findings.filter { $0.rule.hasPrefix("dissection.") })
        },
        TraceCheck.recording("secret-stream.trace-written", ["SS-13", "SS-30"], "secret-stream.written"),
        TraceCheck.recording("secret-stream.trace-keepalive", ["SS-16", "RELAY-15"], "secret-stream.keepalive"),
        TraceCheck.recording("secret-stream.trace-hash", ["SS-29"], "secret-stream.hash"),
        TraceCheck.check("secret-stream.trace-fresh-headers", ["SS-31"], .recording) { _, audit in
            var outcome = TraceCheck.Outcome()
            var seen: [[UInt8]: Int] = [:]
            for (index, packet) in audit.dissection.packets.enumerated() where packet.relayedCopyOf == nil && packet.retransmissionOf == nil
            {
                for unit in packet.units where unit.layer == .secretStream && unit.name == "identifier header" {
                    guard let field = unit.field("header") else { continue }
                    outcome.comparisons += 1
                    let header = Array(unit.bytes[field.range])
                    if let earlier = seen.updateValue(packet.number, forKey: header), !isLeg(audit.dissection, index) {
                        outcome.findings.append(
                            TraceFinding(
                                rule: "secret-stream", packet: packet.number, field: "secret-stream.header", offset: nil,
                                message: "the header of packet \(earlier) again"))
                    }
                }
            }
            return outcome
        },
    ]

    /// The outgoing leg of a relay repeats the header of the incoming one.
    private static func isLeg(_ dissection: Dissection, _ index: Int) -> Bool {
        dissection.flows.contains { $0.relayedFrom != nil && $0.packets.contains(index) }
    }
}

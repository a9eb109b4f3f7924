import CompactEncoding
import DHTRPC
import Dissection
import HyperCrypto
import HyperDHT
import PacketCapture
import SansIO
import StrictJSON

/// What is inside handshakes and hole-punch rounds, and how often they are made. HDHT-40, 44, 52, 55, 58; SWARM-25.
enum HandshakeRules {
    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        guard !context.isCut else { return }
        payloads(context, &report)
        rounds(context, &report)
        attempts(context, &report)
        refusals(context, &report)
        probes(context, &report)
    }

    /// Version 1; without an error there is a stream id.
    private static func payloads(_ context: TraceContext, _ report: inout TraceReport) {
        for packet in context.packets {
            for unit in packet.units where unit.layer == .noisePayload {
                guard let payload = try? NoisePayload(decoding: unit.bytes) else { continue }
                report.check(
                    "hyperdht.payload", payload.version == 1, packet.number, "noise payload.version", nil, "version \(payload.version)")
                report.check(
                    "hyperdht.payload", payload.error.rawValue != 0 || payload.udx != nil, packet.number, "noise payload.udx", nil,
                    "no error, and no stream to connect")
                if let udx = payload.udx {
                    report.check(
                        "hyperdht.payload", udx.version == 1 && udx.id <= 0xffff_ffff && udx.seq == 0, packet.number, "noise payload.udx",
                        nil,
                        "version \(udx.version), id \(udx.id), seq \(udx.seq)")
                }
            }
        }
    }

    /// A round echoes a token that was given before; which side gave it is not followed.
    private static func rounds(_ context: TraceContext, _ report: inout TraceReport) {
        guard !context.dissection.beganMidway else { return }
        var given: Set<Bytes32> = []
        for packet in context.packets {
            for unit in packet.units where unit.layer == .holepunch {
                guard let payload = try? HolepunchPayload(decoding: unit.bytes) else { continue }
                if let token = payload.remoteToken {
                    report.check(
                        "hyperdht.punch-token", given.contains(token), packet.number, "holepunch payload.remoteToken", nil,
                        "a token that neither side gave before")
                }
                if let token = payload.token { given.insert(token) }
            }
        }
    }

    /// One Noise message for all relays and repetitions of a connect.
    private static func attempts(_ context: TraceContext, _ report: inout TraceReport) {
        var calls: [Bytes32: Int] = [:]
        for input in context.bundle.inputs {
            guard case .call("HyperDHT", _, "connect", let arguments) = input.kind,
                let key = arguments.first?.string.flatMap({ Hex.decode($0) }).flatMap({ Bytes32($0) })
            else { continue }
            calls[Blake2b.hash256(key.bytes), default: 0] += 1
        }
        guard !calls.isEmpty else { return }
        var seen: [Bytes32: Set<[UInt8]>] = [:]
        for index in context.packets.indices {
            guard case .request(let request) = context.packets[index].message, let target = request.target,
                case .handshake(let message)? = HyperDHTRules.value(context, index), message.mode == .fromClient, let count = calls[target]
            else { continue }
            seen[target, default: []].insert(message.noise)
            report.check(
                "hyperdht.same-noise", seen[target]?.count ?? 0 <= count, context.number(index), "hyperdht.noise",
                context.offset(index, "noise", layer: .hyperDHT),
                "\(seen[target]?.count ?? 0) different first messages to one key, where \(count) connections were asked for")
        }
    }

    /// Whom the firewall of a server refuses gets no answer.
    private static func refusals(_ context: TraceContext, _ report: inout TraceReport) {
        for event in context.bundle.events where event.event == "firewall" {
            guard let remote = event.details["remotePublicKey"]?.string.flatMap({ Hex.decode($0) }).flatMap({ Bytes32($0) }),
                let server = context.knowledge.peers.first(where: { $0.name == event.who })?.publicKey,
                !context.bundle.events.contains(where: {
                    $0.who == event.who && $0.event == "connection" && $0.details["remote"]?.string == remote.description
                })
            else { continue }
            let target = Blake2b.hash256(server.bytes)
            for index in context.packets.indices {
                guard case .request(let request) = context.packets[index].message, request.target == target,
                    case .handshake(let message)? = HyperDHTRules.value(context, index)
                else { continue }
                report.check(
                    "hyperdht.refused", message.mode != .fromServer || !isOf(context, index, remote), context.number(index),
                    "hyperdht.mode", nil,
                    "an answer to \(remote), whom the firewall refused")
            }
        }
    }

    /// Whether the handshake that a packet belongs to was begun by this key.
    private static func isOf(_ context: TraceContext, _ index: Int, _ key: Bytes32) -> Bool {
        let carried = context.dissection.handshakes.first { $0.carriers.contains { $0.contains(index) } }
        return carried?.initiatorKey.map { $0 == key } ?? true
    }

    /// Ten probes at most go to one address of a NAT that keeps its ports, besides the two that open it.
    private static func probes(_ context: TraceContext, _ report: inout TraceReport) {
        struct Way: Hashable {
            let from: Endpoint
            let to: Endpoint
        }
        var counts: [Way: Int] = [:]
        for packet in context.packets where packet.kind == .probe && packet.packet.timeToLive > 5 {
            let way = Way(from: packet.packet.source, to: packet.packet.destination)
            counts[way, default: 0] += 1
            report.check(
                "hyperdht.probes", counts[way, default: 0] <= 24, packet.number, "payload", 0,
                "\(counts[way, default: 0]) probes from \(way.from) to \(way.to)")
        }
    }
}

import CompactEncoding
import DHTRPC
import HyperDHT
import SansIO
import UDX

/// Why peers do not connect, in sentences: what `pcap doctor` says.
public struct Diagnosis: Sendable {
    public enum Weight: String, Sendable {
        /// This keeps peers apart.
        case problem
        /// This may be the reason.
        case warning
        /// Worth knowing.
        case note
    }

    public struct Sentence: Sendable {
        public let weight: Weight
        public let text: String
        /// Numbers of packets that show it, at most ten.
        public let packets: [Int]
    }

    public private(set) var sentences: [Sentence] = []

    public init(_ dissection: Dissection, hasKeyLog: Bool) {
        kadepy(dissection)
        capture(dissection)
        handshakes(dissection)
        holepunching(dissection)
        nodes(dissection)
        streams(dissection)
        damage(dissection)
        if !hasKeyLog, dissection.packets.contains(where: { $0.kind == .udx }) {
            add(
                .note,
                "There is no key log, so nothing inside encrypted streams can be seen. Set HYPERSWARM_KEYLOGFILE (Swift) or run node -r harness/node/keylog.cjs (Node)."
            )
        }
        let older = dissection.flows.filter(\.beganEarlier)
        if !older.isEmpty {
            add(
                .note,
                "\(older.count) stream directions began before the capture: no key opens them, since the header that a secret stream begins with is not in it. Start the capture before the peers.",
                older.compactMap(\.packets.first).map { dissection.packets[$0].number })
        }
        if sentences.allSatisfy({ $0.weight == .note }) {
            sentences.insert(Sentence(weight: .note, text: "Nothing in this capture keeps peers apart.", packets: []), at: 0)
        }
    }

    private mutating func add(_ weight: Weight, _ text: String, _ packets: [Int] = []) {
        sentences.append(Sentence(weight: weight, text: text, packets: Array(packets.prefix(10))))
    }

    private func counted(_ count: Int, _ what: String) -> String { "\(count) \(what)\(count == 1 ? "" : "s")" }

    private mutating func kadepy(_ dissection: Dissection) {
        var families: [KadePyMessage.Family: [Int]] = [:]
        for packet in dissection.packets {
            if case .kadepy(let message) = packet.kind { families[message.family, default: []].append(packet.number) }
        }
        for (family, packets) in families.sorted(by: { ($0.value.first ?? 0) < ($1.value.first ?? 0) }) {
            let what: String
            switch family {
            case .dht010, .dht02, .dht02Native, .dht02Encrypted: what = "its DHT has no transaction ids and another framing than dht-rpc"
            case .transport02: what = "its handshake is XX-like over X25519, where Hyperswarm needs Noise IK over Ed25519"
            case .extension03:
                what =
                    "it looks like UDX but never acknowledges and always uses stream id 0, with a handshake over X25519 where Noise IK over Ed25519 is due"
            }
            add(
                .problem,
                "\(packets.count == 1 ? "1 packet is" : "\(packets.count) packets are") KadePy \(family.rawValue), not Hyperswarm: \(what). It can't talk to Hyperswarm peers.",
                packets)
        }
    }

    private mutating func capture(_ dissection: Dissection) {
        for (reason, count) in dissection.captureIssues { add(.warning, "The capture itself is damaged: \(count) times \(reason).") }
        let large = dissection.packets.filter { $0.kind == .udx && $0.packet.payload.count > 1472 && $0.packet.isCut == false }
        if !large.isEmpty {
            add(
                .warning,
                "\(large.count) UDX packets are larger than any link carries: segmentation offload joined them before the capture. Switch it off for evidence.",
                large.map(\.number))
        }
    }

    private mutating func handshakes(_ dissection: Dissection) {
        var silent: [Int] = []
        var nobody: [Int] = []
        var succeeded = 0
        for exchange in dissection.exchanges
        where !exchange.isInternal && exchange.commandNumber == HyperDHTCommand.peerHandshake.rawValue && exchange.origin == nil {
            let number = dissection.packets[exchange.request].number
            if let response = exchange.response, case .response(let message) = dissection.packets[response].message {
                if message.value == nil { nobody.append(number) } else { succeeded += 1 }
            } else if exchange.unansweredReason != nil {
                silent.append(number)
            }
        }
        if !silent.isEmpty, succeeded == 0 {
            add(
                .problem,
                "A server stayed silent after Noise message 1: its firewall refused the key, or it is not the key's owner, or it is closing.",
                silent)
        } else if !silent.isEmpty {
            add(.warning, "Some handshakes were not answered, others were.", silent)
        }
        if !nobody.isEmpty, succeeded == 0 {
            add(.problem, "No node had a route to the server: nobody announces this key, or the announcement has expired.", nobody)
        }
        let lookups = dissection.exchanges.filter {
            !$0.isInternal && $0.commandNumber == HyperDHTCommand.findPeer.rawValue && $0.response != nil
        }
        // An answer that the capture cuts may have held one.
        let found = lookups.contains { exchange in
            guard let response = exchange.response, case .response(let message) = dissection.packets[response].message else {
                return exchange.response != nil
            }
            return message.value != nil
        }
        if !lookups.isEmpty, !found, succeeded == 0 {
            add(
                .warning, "FIND_PEER found no record on any of the \(counted(lookups.count, "node")) asked: the key is not announced here.",
                lookups.map { dissection.packets[$0.request].number })
        }
    }

    private mutating func holepunching(_ dissection: Dissection) {
        var firewalls: Set<UInt64> = []
        var aborted: [Int] = []
        var randoms: [Int] = []
        for packet in dissection.packets {
            for unit in packet.units where unit.layer == .holepunch {
                guard let payload = try? HolepunchPayload(decoding: unit.bytes) else { continue }
                firewalls.insert(payload.firewall.rawValue)
                if payload.firewall.isRandom { randoms.append(packet.number) }
                if payload.error == .aborted { aborted.append(packet.number) }
            }
        }
        let random = Set(randoms)
        let sides = Set(dissection.packets.filter { random.contains($0.number) }.map(\.packet.source.address))
        if !randoms.isEmpty, !firewalls.contains(Firewall.consistent.rawValue), !firewalls.contains(Firewall.open.rawValue), sides.count > 1
        {
            add(
                .problem,
                "Both NATs give each destination another port (RANDOM): hole punching is impossible. A relay (relayThrough) is needed.",
                randoms)
        } else if !randoms.isEmpty {
            add(.note, "One NAT is RANDOM: punching tries up to 1750 ports and takes up to 35 s.", randoms)
        }
        if !aborted.isEmpty { add(.warning, "Hole punching was aborted by one side.", aborted) }
        let probes = dissection.packets.filter { $0.kind == .probe }
        let low = probes.filter { $0.packet.timeToLive <= 5 && $0.packet.timeToLive > 0 }
        if !low.isEmpty { add(.note, "\(counted(low.count, "probe")) with a low TTL opened a NAT from inside.", low.map(\.number)) }
    }

    private mutating func nodes(_ dissection: Dissection) {
        var dead: [Endpoint: Int] = [:]
        for exchange in dissection.exchanges {
            if let reason = exchange.unansweredReason, reason.hasPrefix("nobody answers") || reason.hasSuffix("had stopped before") {
                dead[exchange.responder] = dissection.packets[exchange.request].number
            }
        }
        if !dead.isEmpty {
            let names = dead.keys.sorted().prefix(5).map(\.description).joined(separator: ", ")
            add(.warning, "\(dead.count == 1 ? "1 node does" : "\(dead.count) nodes do") not answer: \(names).", dead.values.sorted())
        }
        var refused: [Int] = []
        var ephemeral: [Int] = []
        for packet in dissection.packets {
            guard case .response(let response) = packet.message else { continue }
            if response.error == ErrorCode.invalidToken { refused.append(packet.number) }
            if response.error == ErrorCode.unknownCommand { ephemeral.append(packet.number) }
        }
        if !refused.isEmpty { add(.warning, "Nodes refused tokens: they were older than 15 s, or given to another host.", refused) }
        if !ephemeral.isEmpty { add(.note, "Some nodes know no HyperDHT commands: they are ephemeral, or plain dht-rpc nodes.", ephemeral) }
    }

    private mutating func streams(_ dissection: Dissection) {
        for flow in dissection.flows {
            if let reason = mtuProblem(dissection, flow) { add(.problem, reason.text, reason.packets) }
        }
        if let version = UDXFingerprint.describe(dissection) { add(.note, version) }
        let resets = dissection.flows.compactMap { $0.destroyed }.map { dissection.packets[$0].number }
        if !resets.isEmpty {
            add(.note, "\(resets.count == 1 ? "1 stream was" : "\(resets.count) streams were") destroyed, not ended.", resets)
        }
    }

    /// Large packets are repeated and never acknowledged while small ones get through.
    private func mtuProblem(_ dissection: Dissection, _ flow: UDXFlow) -> (text: String, packets: [Int])? {
        guard let reverse = flow.reverse.map({ dissection.flows[$0] }) else { return nil }
        var acked = SequenceNumber.zero
        for index in reverse.packets {
            if case .udx(let message) = dissection.packets[index].message, message.header.ack.isAfter(acked) { acked = message.header.ack }
        }
        var lost: [SequenceNumber: [Int]] = [:]
        var smallGotThrough = false
        for index in flow.packets {
            guard case .udx(let message) = dissection.packets[index].message, message.header.type.contains(.data) else { continue }
            if message.payload.count > 800, !message.header.seq.isBefore(acked) {
                lost[message.header.seq, default: []].append(dissection.packets[index].number)
            } else if message.payload.count <= 800, message.header.seq.isBefore(acked) {
                smallGotThrough = true
            }
        }
        guard smallGotThrough, let worst = lost.values.max(by: { $0.count < $1.count }), worst.count >= 3 else { return nil }
        return (
            "Large packets to \(flow.to) are repeated and never acknowledged while small ones arrive: the path MTU is below 1200.", worst
        )
    }

    private mutating func damage(_ dissection: Dissection) {
        var byRule: [Issue.Rule: [Int]] = [:]
        for issue in dissection.issues { byRule[issue.rule, default: []].append(issue.packet) }
        for rule in Issue.Rule.allCases {
            guard let packets = byRule[rule] else { continue }
            let what =
                switch rule {
                case .decode: "do not decode"
                case .reencode: "are not in canonical form, or damaged"
                case .nodeID: "carry an id that is not the hash of their sender's address: a NAT in between, or a forgery"
                case .token: "carry a token that the node did not give"
                case .signature: "carry a signature that does not verify"
                case .hash: "carry a value that is not its target's preimage"
                case .noise: "carry a Noise message that the logged keys do not give: another prologue, key or curve"
                case .tag: "can't be opened with the logged keys"
                case .header: "open a stream with another handshake's identifier"
                case .unmatched: "answer nothing"
                case .copy: "repeat others with another content"
                case .unexplained: "hold bytes that nothing explains"
                case .order: "break the order of their stream"
                }
            add(.problem, "\(packets.count) packets \(what).", packets)
        }
    }
}

/// Tells builds of libudx apart by what they send. udx.md section 20.
public enum UDXFingerprint {
    public static func describe(_ dissection: Dissection) -> String? {
        var windows: Set<UInt32> = []
        var largest = 0
        var firsts: Set<Int> = []
        var sawHeartbeat = false
        var sawPadding = false
        for flow in dissection.flows {
            var isFirst = true
            for index in flow.packets {
                guard case .udx(let message) = dissection.packets[index].message else { continue }
                windows.insert(message.header.window)
                if message.header.type.contains(.heartbeat) { sawHeartbeat = true }
                if message.header.dataOffset > 0, message.header.type.contains(.data) { sawPadding = true }
                guard message.header.type.contains(.data) else { continue }
                largest = max(largest, message.payload.count)
                if isFirst, message.payload.count > 1000 { firsts.insert(message.payload.count) }
                isFirst = false
            }
        }
        guard !windows.isEmpty else { return nil }
        if windows.contains(0xffff_ffff) { return "UDX: a peer older than October 2024 (window field constant)." }
        if windows.contains(131_072) { return "UDX: udx-native 1.14.0 to 1.17.0 (window 131072)." }
        if windows.contains(262_144) { return "UDX: udx-native 1.17.1 to 1.17.4 (window 262144)." }
        if sawHeartbeat { return "UDX: libudx of 2026 (heartbeats)." }
        if sawPadding { return "UDX: udx-native 1.9 to 1.20.3 (probes the path MTU with padded packets)." }
        if firsts.contains(1132) { return "UDX: udx-native 1.20.0 or later (first payload 1132 bytes)." }
        if largest > 1152 { return "UDX: udx-native before August 2023, or a confirmed larger MTU." }
        return "UDX: udx-native 1.17.5 or later (window 4194304)."
    }
}

import CompactEncoding
import Conformance
import HyperCrypto
import PacketCapture
import SansIO
import StrictJSON

/// What one side of a recorded plain UDX run took in, in order, and what it sent: a recording made into a script for a stream in its place.
struct ReplayScript {
    enum Input {
        case connect
        /// Bytes handed to the stream; `ends`: and its end with them.
        case write([UInt8], ends: Bool)
        case end
        case send([UInt8])
        case destroy
        case heldBytes(Int)
        case maximumReceiveSize(UInt32)
        case keepalive(Int64)
        /// A datagram of the peer, when the stream read it.
        case read([UInt8])

        var isCall: Bool { if case .read = self { false } else { true } }
    }

    struct Own {
        let number: Int
        let time: Instant
        let bytes: [UInt8]
        let packet: RawPacket
    }

    // Inputs that a recording lacks are inferred by these rules and no others.
    static let readRule =
        "read times: a DATA, END or HEARTBEAT was read when its ACK left (one ACK each, in order), any other packet when it was captured, never out of order"
    static let handoverRule =
        "handover of writes: all bytes up to a packet that is not full were handed over when the first packet with any of them left"
    static let contentRule = "content of writes and messages: the bytes on the wire, held against the recorded lengths and SHA-256"
    static let lossRule = "losses: the 4th, 24th, 44th ... datagram towards port 40002 never arrived, as the recordings' README says"
    static let windowRule = "maximum receive size: the first window that was advertised after the call"

    let ownID: UInt32
    let peerID: UInt32
    let ownPlace: Endpoint
    let peerPlace: Endpoint
    private(set) var inputs: [(time: Instant, input: Input)] = []
    let own: [Own]
    private(set) var rules: [String] = []
    /// The longest time in which the recorded process did nothing although something lay unread.
    private(set) var delay: ReadDelay

    init(_ bundle: TraceBundle, role: String, _ exam: Examination) throws {
        let peers = bundle.manifest?.peers ?? []
        guard let own = peers.first(where: { $0.name == role }), let peer = peers.first(where: { $0.name != role }),
            let ownID = own.streamID, let peerID = peer.streamID, let ownPort = own.port, let peerPort = peer.port
        else { throw CorpusError("two peers with port and streamId are expected", file: bundle.name + "/manifest.json") }
        self.ownID = ownID
        self.peerID = peerID
        ownPlace = .loopback(ownPort)
        peerPlace = .loopback(peerPort)

        let isLossy = bundle.manifest?.scenario == "udx-lossy"
        let (sent, incoming) = ReplayScript.traffic(bundle, ownPlace, isLossy: isLossy)
        self.own = sent
        delay = ReadDelay(bundle.capture, from: ownPlace.address)
        if isLossy && ownPort == 40_002 { rules.append(ReplayScript.lossRule) }
        rules += [ReplayScript.readRule, ReplayScript.contentRule]
        if bundle.inputs.isEmpty {
            try addTesterCalls(bundle, role)
        } else {
            try addCalls(bundle, exam)
        }
        for read in ReplayScript.reads(incoming, own: sent) {
            inputs.append((read.time, .read(read.datagram.bytes)))
            if let answered = read.answered { delay.note(read.datagram.number, arrived: read.datagram.time, answered: answered) }
        }
        // Both ends in one process: what held up the one held up the other.
        if ownPlace.address == peerPlace.address {
            let (sent, incoming) = ReplayScript.traffic(bundle, peerPlace, isLossy: isLossy)
            for read in ReplayScript.reads(incoming, own: sent) {
                if let answered = read.answered { delay.note(read.datagram.number, arrived: read.datagram.time, answered: answered) }
            }
        }
        // Stable: what stands at one instant keeps its order, calls before reads.
        inputs = inputs.enumerated().sorted {
            ($0.element.time, $0.element.input.isCall ? 0 : 1, $0.offset) < ($1.element.time, $1.element.input.isCall ? 0 : 1, $1.offset)
        }.map(\.element)
    }

    /// Own DATA and END packets in the order of their numbers, the first transmission of each.
    var firstTransmissions: [Own] {
        var highest: UInt32?
        return own.filter { item in
            guard item.packet.has(RawPacket.data | RawPacket.end) else { return false }
            guard Int32(bitPattern: item.packet.seq &- (highest ?? item.packet.seq &- 1)) > 0 else { return false }
            highest = item.packet.seq
            return true
        }
    }

    // MARK: Calls

    /// Calls of the Node recordings.
    private mutating func addCalls(_ bundle: TraceBundle, _ exam: Examination) throws {
        rules.append(ReplayScript.handoverRule)
        var written: [UInt8] = []
        var group: (time: Instant, bytes: [UInt8])?
        var isFirst = true
        for item in firstTransmissions {
            let payload = Array(item.packet.body.dropFirst(Int(item.packet.dataOffset)))
            written += payload
            let ends = item.packet.has(RawPacket.end)
            if payload.isEmpty && ends && group == nil {
                inputs.append((item.time, .end))
                continue
            }
            group = (group?.time ?? item.time, (group?.bytes ?? []) + payload)
            let isFull = payload.count == (isFirst ? 1132 : 1152)
            isFirst = false
            if let handed = group, !isFull || ends {
                inputs.append((handed.time, .write(handed.bytes, ends: ends)))
                group = nil
            }
        }
        if let group { inputs.append((group.time, .write(group.bytes, ends: false))) }

        var position = 0
        var messages = own.filter { $0.packet.has(RawPacket.message) }.map(\.packet.body)[...]
        for input in bundle.inputs {
            guard case .call("UDXStream", let id, let method, let arguments) = input.kind, id["localId"]?.integer == Int64(ownID) else {
                continue
            }
            switch method {
            case "connect": inputs.append((input.time, .connect))
            case "destroy": inputs.append((input.time, .destroy))
            case "end": break
            case "send":
                let body = messages.popFirst() ?? []
                exam.equal("line \(input.line): message", Hex.encode(body), arguments.first?.string ?? "")
                inputs.append((input.time, .send(body)))
            case "write":
                let text = arguments.first?.string.map { Array($0.utf8) }
                let count = text?.count ?? Int(clamping: arguments.first?["bytes"]?.integer ?? 0)
                let bytes = Array(written.dropFirst(position).prefix(count))
                position += count
                if let text {
                    exam.bytes("line \(input.line): written text", bytes, text)
                } else if let digest = arguments.first?["sha256"]?.string {
                    exam.equal("line \(input.line): SHA-256 of what was written", SHA256.hash(bytes).description, digest)
                } else {
                    exam.report("line \(input.line)", expected: "a text, or bytes and sha256", actual: "something else")
                }
            default: throw CorpusError("line \(input.line): the call \"\(method)\" is not known", file: bundle.name + "/inputs.jsonl")
            }
        }
        exam.equal("bytes written and bytes on the wire", position, written.count)
    }

    /// Calls of the recordings of libudx itself, which its tester noted as events.
    private mutating func addTesterCalls(_ bundle: TraceBundle, _ role: String) throws {
        rules.append(ReplayScript.windowRule)
        let lines = bundle.events.compactMap { event -> (time: Instant, words: [String])? in
            guard event.who == role, let line = event.details["line"]?.string else { return nil }
            return (event.time, line.split(separator: " ").map(String.init))
        }
        let writes = lines.filter { $0.words[0] == "WRITE" }.map(\.time)
        var messages = own.filter { $0.packet.has(RawPacket.message) }[...]
        let firsts = firstTransmissions
        for (time, words) in lines {
            switch words[0] {
            case "CONNECT": inputs.append((time, .connect))
            case "WRITE":
                // What left before the next write.
                let next = writes.first { $0 > time } ?? .distantFuture
                let packets = firsts.filter {
                    $0.time + .milliseconds(2) >= time && $0.time + .milliseconds(2) < next && $0.packet.has(RawPacket.data)
                }
                let bytes = packets.flatMap { $0.packet.body.dropFirst(Int($0.packet.dataOffset)) }
                inputs.append((min(time, packets.first?.time ?? time), .write(bytes, ends: false)))
            case "END": inputs.append((firsts.last.map { min($0.time, time) } ?? time, .end))
            case "SEND": inputs.append((min(messages.first?.time ?? time, time), .send(messages.popFirst()?.packet.body ?? [])))
            case "KEEPALIVE": inputs.append((time, .keepalive(Int64(words.last ?? "") ?? 0)))
            case "RBUF": inputs.append((time, .heldBytes(Int(words.last ?? "") ?? 0)))
            case "RWNDMAX":
                guard let window = own.first(where: { $0.time >= time })?.packet.window else { continue }
                inputs.append((time, .maximumReceiveSize(window)))
            case "READY", "ACKED", "EOF", "CLOSE", "RECV": break
            default: throw CorpusError("line \"\(words.joined(separator: " "))\" is not known", file: bundle.name + "/events.jsonl")
            }
        }
    }

    // MARK: Reads

    private struct Read {
        let datagram: Own
        /// When it was read.
        let time: Instant
        /// When its ACK left, if it has one.
        let answered: Instant?
    }

    private static func reads(_ incoming: [Own], own: [Own]) -> [Read] {
        var answers = own.filter { $0.packet.type & ~RawPacket.sack == 0 }[...]
        var last = Instant.zero
        let endSeq = own.first { $0.packet.has(RawPacket.end) }?.packet.seq
        var endAcknowledged = false
        var peerEnded = false
        var result: [Read] = []
        for item in incoming {
            var time = max(item.time, last)
            var answered: Instant?
            let completes = !endAcknowledged && endSeq.map { item.packet.ack == $0 &+ 1 } ?? false
            if completes { endAcknowledged = true }
            // One ACK for each of these; and one extra when our END was acknowledged before the peer ended.
            if item.packet.has(RawPacket.data | RawPacket.end | RawPacket.heartbeat) || (completes && !peerEnded) {
                if let answer = answers.first, answer.time >= item.time {
                    answers.removeFirst()
                    time = max(time, answer.time)
                    answered = answer.time
                }
            }
            if item.packet.has(RawPacket.end) { peerEnded = true }
            last = time
            result.append(Read(datagram: item, time: time, answered: answered))
        }
        return result
    }

    /// What one side sent, and what of the other side's packets arrived.
    private static func traffic(_ bundle: TraceBundle, _ place: Endpoint, isLossy: Bool) -> (sent: [Own], incoming: [Own]) {
        var sent: [Own] = []
        var incoming: [Own] = []
        var towards = 0
        for captured in bundle.capture.packets {
            guard captured.transport == .udp, let packet = RawPacket(captured.payload) else { continue }
            if isLossy, captured.destination.port == 40_002 {
                towards += 1
                if towards % 20 == 4, place.port == 40_002 { continue }
            }
            let item = Own(number: captured.number, time: captured.time, bytes: captured.payload, packet: packet)
            if captured.source == place { sent.append(item) } else if captured.destination == place { incoming.append(item) }
        }
        return (sent, incoming)
    }
}

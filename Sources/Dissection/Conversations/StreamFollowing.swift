import CompactEncoding
import SansIO
import UDX

extension TraceDissector {
    private struct FlowKey: Hashable {
        let streamID: StreamID
        let host: IPAddress
    }

    /// Gathers UDX packets into flows, finds retransmissions and relayed copies, and puts the bytes together.
    func followStreams() {
        var indices: [FlowKey: Int] = [:]
        for index in result.packets.indices {
            guard case .udx(let message) = result.packets[index].message else { continue }
            let packet = result.packets[index].packet
            let key = FlowKey(streamID: message.header.streamID, host: packet.destination.address)
            let flow = indices[key] ?? result.flows.count
            if flow == result.flows.count {
                indices[key] = flow
                result.flows.append(UDXFlow(streamID: message.header.streamID, from: packet.source, to: packet.destination))
            }
            result.flows[flow].packets.append(index)
        }
        for flow in result.flows.indices { assemble(flow) }
        pairFlows()
        if result.flows.count > 2 { findRelayedCopies() }
        findEarlierBeginnings()
    }

    /// Streams of which the capture shows the middle and the end only.
    ///
    /// Numbers alone prove nothing: a peer may be wrong about them. Both sides must agree on something that is not in the capture:
    /// the first packet acknowledges data that the other side has indeed left behind, or the first data has a number that the
    /// other side would not acknowledge if it had missed the ones below.
    private func findEarlierBeginnings() {
        func header(_ index: Int) -> PacketHeader? {
            if case .udx(let message) = result.packets[index].message { message.header } else { nil }
        }
        for one in result.flows.indices {
            guard let other = result.flows[one].reverse, result.flows[one].relayedFrom == nil, result.flows[other].relayedFrom == nil,
                let first = result.flows[one].packets.first, let answer = result.flows[other].packets.first, first < answer,
                let a = header(first), let b = header(answer)
            else { continue }
            let acknowledges = a.ack != .zero && !b.seq.isBefore(a.ack)
            let isFarOn = a.seq.distance(to: .zero) != 0 && a.seq.rawValue >= 3 && b.ack.rawValue >= 3 && b.ack.distance(to: a.seq) < 70_000
            guard acknowledges || isFarOn else { continue }
            for flow in [one, other] { result.flows[flow].beganEarlier = true }
            result.beganMidway = true
        }
    }

    private func assemble(_ flow: Int) {
        var bodies: [UInt32: Int] = [:]
        var numbers: [SequenceNumber] = []
        for index in result.flows[flow].packets {
            guard case .udx(let message) = result.packets[index].message else { continue }
            let header = message.header
            let isCut = result.packets[index].packet.isCut
            if header.type.contains(.message), !isCut, !message.payload.isEmpty || header.type == .message {
                let end = result.packets[index].packet.payload.count
                result.flows[flow].messages.append((packet: index, range: end - message.payload.count..<end))
            }
            if header.type.contains(.destroy), result.flows[flow].destroyed == nil { result.flows[flow].destroyed = index }
            guard !header.type.isDisjoint(with: [.data, .end]), !header.type.contains(.heartbeat) else { continue }
            if header.type.contains(.end) { result.flows[flow].endSeq = header.seq }
            if let first = bodies[header.seq.rawValue] {
                result.flows[flow].retransmissions += 1
                result.packets[index].retransmissionOf = result.packets[first].number
                result.packets[index].labels.append("retransmission of \(result.packets[first].number)")
                if case .udx(let original) = result.packets[first].message, original.payload != message.payload,
                    !isCut, !result.packets[first].packet.isCut
                {
                    let offset = zip(original.payload, message.payload).enumerated().first { $0.element.0 != $0.element.1 }?.offset
                    issue(
                        .copy, index, "udx.payload", offset.map { result.packets[index].packet.payload.count - message.payload.count + $0 },
                        "seq \(header.seq) was sent before with another payload (packet \(result.packets[first].number))")
                }
            } else {
                bodies[header.seq.rawValue] = index
                numbers.append(header.seq)
            }
        }
        guard var first = numbers.first else { return }
        for number in numbers where number.isBefore(first) { first = number }
        // Streams begin with 0 unless told otherwise; what a relay lost of a stream's beginning it will carry later, or never.
        result.flows[flow].firstSeq = first
        var next = first
        while let index = bodies[next.rawValue], !result.packets[index].packet.isCut {
            if case .udx(let message) = result.packets[index].message, message.header.type.contains(.data), !message.payload.isEmpty {
                let payload = result.packets[index].packet.payload
                result.flows[flow].chunks.append(
                    UDXFlow.Chunk(
                        packet: index, offset: result.flows[flow].bytes.count, count: message.payload.count,
                        payloadOffset: payload.count - message.payload.count))
                result.flows[flow].bytes += message.payload
            }
            next = next.advanced(by: 1)
            if next == first { break }
        }
        result.flows[flow].nextSeq = next
        if numbers.contains(where: { !$0.isBefore(next) }) {
            result.flows[flow].gap = next
            for number in numbers where !number.isBefore(result.flows[flow].nextSeq) { result.flows[flow].nextSeq = number.advanced(by: 1) }
        }
    }

    /// Joins the two directions: by logged ids, by the manifest, by addresses, at last by which acknowledgements fit.
    private func pairFlows() {
        func join(_ a: Int, _ b: Int) {
            guard a != b, result.flows[a].reverse == nil, result.flows[b].reverse == nil else { return }
            result.flows[a].reverse = b
            result.flows[b].reverse = a
        }
        var byID: [UInt32: [Int]] = [:]
        for index in result.flows.indices { byID[result.flows[index].streamID.rawValue, default: []].append(index) }
        for entry in keyLog?.entries ?? [] {
            guard case .secretStream(let record) = entry.record, let ids = record.udx else { continue }
            if let local = byID[ids.localID]?.first, let remote = byID[ids.remoteID]?.first { join(local, remote) }
        }
        for a in knowledge.plainStreams {
            for b in knowledge.plainStreams where a.endpoint != b.endpoint {
                if let one = byID[a.streamID.rawValue]?.first, let other = byID[b.streamID.rawValue]?.first { join(one, other) }
            }
        }
        func candidates(_ index: Int) -> [Int] {
            let flow = result.flows[index]
            return result.flows.indices.filter {
                $0 != index && result.flows[$0].reverse == nil && result.flows[$0].from == flow.to && result.flows[$0].to == flow.from
            }
        }
        for index in result.flows.indices where result.flows[index].reverse == nil {
            let others = candidates(index)
            if others.count == 1, candidates(others[0]) == [index] { join(index, others[0]) }
        }
        // The pairs that fit best come first, so that a poor guess takes nobody's place.
        let open = result.flows.indices.filter { result.flows[$0].reverse == nil }
        var pairs: [(one: Int, other: Int, score: Int)] = []
        for one in open {
            for other in open where one < other {
                guard result.flows[other].from == result.flows[one].to, result.flows[other].to == result.flows[one].from else { continue }
                let score = fit(one, other)
                if score > 0 { pairs.append((one, other, score)) }
            }
        }
        for pair in pairs.sorted(by: { ($1.score, $0.one, $0.other) < ($0.score, $1.one, $1.other) }) { join(pair.one, pair.other) }
    }

    /// How well two flows answer each other: acknowledgements that name the latest number of the other one speak for it, and
    /// acknowledgements of what the other one had not sent yet speak against it.
    private func fit(_ a: Int, _ b: Int) -> Int {
        var score = 0
        var next: [Int: SequenceNumber] = [a: .zero, b: .zero]
        for index in (result.flows[a].packets + result.flows[b].packets).sorted() {
            guard case .udx(let message) = result.packets[index].message else { continue }
            let isA = message.header.streamID == result.flows[a].streamID
            let (sender, other) = isA ? (a, b) : (b, a)
            let sent = next[other] ?? .zero
            if message.header.ack.isAfter(sent) {
                score -= 3
            } else if message.header.ack == sent, sent != .zero {
                score += 1
            }
            guard !message.header.type.isDisjoint(with: [.data, .end]) else { continue }
            let mine = message.header.seq.advanced(by: 1)
            if next[sender].map({ mine.isAfter($0) }) ?? true { next[sender] = mine }
        }
        return score
    }

    /// A relay changes the four bytes of the id and nothing else. udx.md section 16.
    ///
    /// Two flows are legs of one stream if the key log gives both the same keys, or if nearly all packets of the second are copies.
    private func findRelayedCopies() {
        let keys = directionKeys()
        for outgoing in result.flows.indices {
            for incoming in result.flows.indices where incoming != outgoing && result.flows[outgoing].relayedFrom == nil {
                let (a, b) = (result.flows[incoming], result.flows[outgoing])
                guard a.to.address == b.from.address, a.reverse != outgoing, a.relayedFrom == nil, let first = a.packets.first,
                    let begin = b.packets.first, first < begin
                else { continue }
                let copies = copies(of: a, in: b)
                guard !copies.isEmpty else { continue }
                if let one = keys[a.streamID.rawValue], let other = keys[b.streamID.rawValue] {
                    guard one.handshakeHash == other.handshakeHash, one.isFromInitiator == other.isFromInitiator else { continue }
                } else {
                    // Bare acknowledgements look alike in many streams: something with a payload must be among the copies.
                    let hasContent = copies.contains { result.packets[$0.copy].packet.payload.count > PacketHeader.size + 16 }
                    let passed = b.packets.count { result.packets[$0].packet.source == b.from }
                    guard hasContent, copies.count * 10 >= passed * 9 else { continue }
                }
                result.flows[outgoing].relayedFrom = incoming
                for (original, copy) in copies {
                    result.packets[copy].relayedCopyOf = result.packets[original].number
                    result.packets[copy].labels.append("relayed copy of \(result.packets[original].number)")
                }
            }
        }
    }

    /// Pairs of packets that differ in the id alone, each original once, in order.
    private func copies(of incoming: UDXFlow, in outgoing: UDXFlow) -> [(original: Int, copy: Int)] {
        func anonymous(_ index: Int) -> [UInt8] {
            var bytes = result.packets[index].packet.payload
            if bytes.count >= 8 { bytes.replaceSubrange(4..<8, with: [0, 0, 0, 0]) }
            return bytes
        }
        var waiting: [[UInt8]: [Int]] = [:]
        var found: [(original: Int, copy: Int)] = []
        var next = 0
        // What goes past the relay, by a path that the peers have found meanwhile, belongs to neither leg.
        for copy in outgoing.packets where result.packets[copy].packet.source == outgoing.from {
            while next < incoming.packets.count, incoming.packets[next] < copy {
                if result.packets[incoming.packets[next]].packet.destination == incoming.to {
                    waiting[anonymous(incoming.packets[next]), default: []].append(incoming.packets[next])
                }
                next += 1
            }
            let bytes = anonymous(copy)
            // The latest of equal ones: earlier ones may have been lost before the legs were joined.
            if let original = waiting[bytes]?.popLast() { found.append((original, copy)) }
        }
        return found
    }
}

import CompactEncoding
import Conformance
import Protomux
import StrictJSON

/// vectors/protomux.json: two sides, step by step, on one pair of muxes.
enum ProtomuxVectors {
    static let checks: [Check] = [
        Check(
            "protomux.exchange",
            ["MUX-1", "MUX-2", "MUX-4", "MUX-5", "MUX-7", "MUX-13", "MUX-15a", "MUX-24"], .vector, .stack
        ) { exam in
            let script = Script()
            try VectorFile("protomux", in: exam.corpus).examine(exam) { try script.run($0, exam) }
        }
    ]

    private final class Script {
        let pair = MuxPair()
        var waiting: [MuxPair.Side: [[UInt8]]] = [:]
        var handles: [MuxPair.Side: [[UInt8]: ChannelHandle]] = [:]
        var names: [MuxPair.Side: [ChannelHandle: [UInt8]]] = [:]

        func run(_ node: VectorNode, _ exam: Examination) throws {
            var expected: [MuxPair.Side: [String]] = [.a: [], .b: []]
            for step in try node["do"].elements() { try perform(step, &expected) }
            for step in try node["frames"].elements() {
                let from = try side(step["from"])
                let frame = try step["frame"]
                collect()
                let made = waiting[from]?.first
                if made != nil { waiting[from]?.removeFirst() }
                frame.expect(made)
                // Codec, both ways; and the other side reads the file's bytes.
                let bytes = try frame.bytes()
                frame.expect(try MuxMessage(decoding: bytes).encoded)
                pair[from == .a ? .b : .a].receive(bytes)
            }
            collect()
            for side in [MuxPair.Side.a, .b] {
                exam.equal("\(node.path): further frames of \(side.rawValue)", (waiting[side] ?? []).map { Hex.encode($0) }, [])
                exam.equal("\(node.path): what \(side.rawValue) sees", pair[side].takeEvents().texts, expected[side] ?? [])
            }
        }

        private func collect() {
            for side in [MuxPair.Side.a, .b] { waiting[side, default: []] += pair[side].takeMessages() }
        }

        private func side(_ node: VectorNode) throws -> MuxPair.Side {
            let name = try node.string()
            guard let side = MuxPair.Side(rawValue: name) else {
                throw VectorNode.Mismatch(path: node.path, expected: "a or b", actual: name)
            }
            return side
        }

        private func perform(_ step: VectorNode, _ expected: inout [MuxPair.Side: [String]]) throws {
            let side = try side(step["side"])
            let other: MuxPair.Side = side == .a ? .b : .a
            let mux = pair[side]
            switch try step["operation"].string() {
            case "open":
                let name = try step["protocol"].string()
                let id = try optionalID(step["channelId"])
                let handshake = try step["handshake"]
                let bytes = handshake.isNull ? [] : Text(try handshake.string()).encoded
                let handle = try mux.open(
                    ChannelOptions(ChannelKey(name, id: id), messageCount: 2, handshakeType: handshake.isNull ? nil : Text.self),
                    handshake: bytes)
                handles[side, default: [:]][id] = handle
                if handshake.isNull {
                    // Nobody has this protocol: the other side rejects it.
                    expected[side, default: []].append("closed by remote")
                } else {
                    expected[other, default: []].append("opened \(Hex.encode(bytes))")
                }
            case "send":
                let handle = try handle(step, side)
                let type = try step["type"].uint()
                var payload = Writer()
                if type == 0 { payload.string(try step["value"].string()) } else { payload.uint(try step["value"].uint()) }
                try mux.send(handle, type: type, payload.bytes)
                expected[other, default: []].append("message \(type) \(Hex.encode(payload.bytes))")
            case "close":
                mux.close(try handle(step, side))
                expected[side, default: []].append("closed")
                expected[other, default: []].append("closed by remote")
            case "cork": mux.cork()
            case "uncork": mux.uncork()
            case let name: throw VectorNode.Mismatch(path: "\(step.path).operation", expected: "a known operation", actual: name)
            }
        }

        private func optionalID(_ node: VectorNode) throws -> [UInt8] { node.isNull ? [] : try node.bytes() }

        private func handle(_ step: VectorNode, _ side: MuxPair.Side) throws -> ChannelHandle {
            let id = try optionalID(step["channelId"])
            guard let handle = handles[side]?[id] else {
                throw VectorNode.Mismatch(path: "\(step.path).channelId", expected: "an open channel", actual: Hex.encode(id))
            }
            return handle
        }
    }
}

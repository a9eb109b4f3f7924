import BlindRelay
import CompactEncoding
import Conformance
import Protomux
import SansIO

/// vectors/blind-relay.json: a relay and two clients, step by step.
enum BlindRelayVectors {
    static let checks: [Check] = [
        Check("blind-relay.exchange", ["RELAY-1", "RELAY-2", "RELAY-3"], .vector, .stack) { exam in
            let world = RelayWorld()
            var parked: [String: (mux: Protomux, client: BlindRelayClient)] = [:]
            try VectorFile("blind-relay", in: exam.corpus).examine(exam) { node in
                for step in try node["do"].elements() { try perform(step, world, &parked) }
                let made = world.takeFrames()
                let frames = try node["frames"].elements()
                for (index, step) in frames.enumerated() {
                    let frame = try step["frame"]
                    try step["from"].expect(index < made.count ? made[index].from : "nobody")
                    frame.expect(index < made.count ? made[index].bytes : nil)
                    try codec(frame)
                }
                exam.equal("\(node.path): frames", made.count, frames.count)
            }
        }
    ]

    private static func perform(
        _ step: VectorNode, _ world: RelayWorld, _ parked: inout [String: (mux: Protomux, client: BlindRelayClient)]
    ) throws {
        let side = try step["side"].string()
        let operation = try step["operation"].string()
        switch operation {
        case "open":
            let mux = Protomux()
            parked[side] = (mux, try BlindRelayClient(mux: mux, publicKey: try step["channelId"].bytes32()))
        case "accept":
            let name = side.replacing("server", with: "client")
            guard let waiting = parked.removeValue(forKey: name) else {
                throw VectorNode.Mismatch(path: "\(step.path).side", expected: "a client that has opened", actual: name)
            }
            _ = try world.connect(name, key: try step["channelId"].bytes32(), clientMux: waiting.mux, client: waiting.client)
        case "pair":
            let id = try step["streamId"].uint()
            client(side, world)?.pair(
                isInitiator: try step["isInitiator"].bool(), token: try step["token"].bytes32(), streamID: UInt32(truncatingIfNeeded: id),
                at: .zero)
        case "unpair": client(side, world)?.unpair(try step["token"].bytes32())
        default: throw VectorNode.Mismatch(path: "\(step.path).operation", expected: "a known operation", actual: operation)
        }
    }

    private static func client(_ name: String, _ world: RelayWorld) -> BlindRelayClient? {
        world.connections.first { $0.name == name }?.client
    }

    /// Each frame decodes and encodes to itself, down to the relay's own messages.
    private static func codec(_ frame: VectorNode) throws {
        let bytes = try frame.bytes()
        let message = try MuxMessage(decoding: bytes)
        frame.expect(message.encoded)
        guard case .single(.data(let channel, let type, let payload)) = message else { return }
        let again = type == Pair.type ? try Pair(decoding: payload).encoded : try Unpair(decoding: payload).encoded
        frame.expect(MuxMessage.single(.data(channel: channel, type: type, payload: again)).encoded)
    }
}

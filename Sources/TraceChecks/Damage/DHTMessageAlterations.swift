import CompactEncoding
import DHTRPC
import Dissection
import HyperDHT
import PacketCapture
import SansIO

/// The requests and responses of a recording that an alteration may take, and a recording in which one of them is another.
extension Alteration {
    static func requests(_ context: TraceContext, _ isWanted: (Request) -> Bool = { _ in true }) -> [Int] {
        context.packets.indices.filter { if case .request(let request) = context.packets[$0].message { isWanted(request) } else { false } }
    }

    static func responses(_ context: TraceContext, _ isWanted: (Response) -> Bool = { _ in true }) -> [Int] {
        context.packets.indices.filter {
            if case .response(let response) = context.packets[$0].message { isWanted(response) } else { false }
        }
    }

    static func responses(_ context: TraceContext, to commands: [HyperDHTCommand], _ isWanted: (Response) -> Bool) -> [Int] {
        responses(context, isWanted).filter { index in
            guard let exchange = context.exchangeOf[index].map({ context.dissection.exchanges[$0] }), !exchange.isInternal else {
                return false
            }
            return commands.contains { $0.rawValue == exchange.commandNumber }
        }
    }

    static func response(_ context: TraceContext, _ index: Int, _ change: (inout Response) -> Bool) -> [CapturedPacket]? {
        guard case .response(var response) = context.packets[index].message, change(&response) else { return nil }
        return changing(context, index) { $0.with(payload: response.encoded) }
    }

    /// All copies of a request are changed alike, as its sender would have sent them.
    static func request(_ context: TraceContext, _ index: Int, _ change: (inout Request) -> Bool) -> [CapturedPacket]? {
        guard case .request(var request) = context.packets[index].message, change(&request) else { return nil }
        let old = context.packets[index].packet
        return packets(context).map {
            $0.payload == old.payload && $0.source == old.source && $0.destination == old.destination
                ? $0.with(payload: request.encoded) : $0
        }
    }

    static func flipped(_ value: Bytes32) -> Bytes32 {
        var bytes = value.bytes
        bytes[7] ^= 0x10
        return Bytes32(bytes) ?? value
    }
}

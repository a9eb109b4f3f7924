import CompactEncoding
import DHTRPC
import SansIO

/// The value of one of dht-rpc's own commands. dht-rpc.md section 4.
enum InternalValue: CompactCodable {
    case port(UInt16)
    case node(Endpoint)
    case delay(UInt32)
    case padding([UInt8])

    init(_ command: UInt64, from reader: inout Reader) throws(DecodingFailure) {
        switch InternalCommand(rawValue: command) {
        case .pingNAT: self = .port(try reader.uint16("port"))
        case .downHint: self = .node(try reader.ipv4Address("node"))
        case .delayedPing: self = .delay(try reader.uint32("delayMilliseconds"))
        default: self = .padding(reader.raw("padding"))
        }
    }

    init(from reader: inout Reader) throws(DecodingFailure) { self = .padding(reader.raw("padding")) }

    func encode(to writer: inout Writer) {
        switch self {
        case .port(let port): writer.uint16(port)
        case .node(let node): writer.address(node)
        case .delay(let delay): writer.uint32(delay)
        case .padding(let bytes): writer.raw(bytes)
        }
    }
}

import CompactEncoding
import DHTRPC
import PacketCapture
import UDX

/// What a datagram is.
public enum PayloadKind: Sendable, Equatable {
    case udx
    case dhtRequest
    case dhtResponse
    /// One byte: a hole-punch probe, or a node's test of its own socket.
    case probe
    case kadepy(KadePyMessage)
    /// A segment of a TCP stream that carries a stand-alone secret stream.
    case tcp
    /// A packet without payload.
    case empty
    /// Our own marker packet.
    case marker
    /// A datagram that belongs to no protocol of this project: an application's own.
    case raw
    /// Not UDP or TCP, or a damaged frame.
    case other(String)

    public var name: String {
        switch self {
        case .udx: "udx"
        case .dhtRequest: "dht-rpc request"
        case .dhtResponse: "dht-rpc response"
        case .probe: "probe"
        case .kadepy(let message): message.description
        case .tcp: "tcp"
        case .empty: "empty"
        case .marker: "marker"
        case .raw: "raw"
        case .other(let name): name
        }
    }
}

/// The outer message of a datagram, decoded by its layer's codec.
public enum OuterMessage: Sendable {
    case none
    case udx(Packet)
    case request(Request)
    case response(Response)
}

/// One packet with everything that is known of it.
public struct DissectedPacket: Sendable {
    public let packet: CapturedPacket
    public internal(set) var kind: PayloadKind
    public internal(set) var message: OuterMessage = .none
    public internal(set) var units: [Unit] = []
    /// One line: "FIND_NODE request", "DATA seq 7"...
    public internal(set) var summary = ""
    /// "retransmission of 7", "answers 5", "relayed copy of 3".
    public internal(set) var labels: [String] = []
    public internal(set) var account: ByteAccount
    /// Number of the packet whose copy this is.
    public internal(set) var retransmissionOf: Int?
    public internal(set) var relayedCopyOf: Int?

    public var number: Int { packet.number }

    init(_ packet: CapturedPacket, kind: PayloadKind) {
        self.packet = packet
        self.kind = kind
        account = ByteAccount(count: packet.payload.count)
    }

    /// Marks every leaf field of a wire unit as explained. A UDX payload waits for what its stream turns out to be.
    mutating func account(for unit: Unit) {
        for record in unit.fields where record.value != .group {
            if unit.layer == .udx, record.name.description == "payload" { continue }
            account.mark(record.wholeRange, .field)
        }
    }

    /// Name of the field that covers a byte of the payload, with its layer ("dht-rpc.to").
    public func field(at offset: Int) -> String {
        for unit in units.reversed() where unit.isWire && unit.range.contains(offset) {
            let path = unit.path(at: offset)
            if !path.isEmpty { return "\(unit.layer.rawValue).\(path)" }
        }
        return "payload"
    }
}

/// The type bits of a packet. udx.md section 2.1.
public struct PacketType: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// No bit: a plain ACK ("state packet").
    public static let acknowledgement = PacketType([])
    /// The payload is stream bytes; consumes the sequence number.
    public static let data = PacketType(rawValue: 0x01)
    /// This sequence number is the last of its direction; consumes it.
    public static let end = PacketType(rawValue: 0x02)
    /// The extension area, or the whole remainder, holds SACK blocks.
    public static let sack = PacketType(rawValue: 0x04)
    /// The payload is one unreliable message.
    public static let message = PacketType(rawValue: 0x08)
    /// Abort.
    public static let destroy = PacketType(rawValue: 0x10)
    /// A probe that demands an ACK.
    public static let heartbeat = PacketType(rawValue: 0x20)
    /// Never sent, ignored on receipt. UDX-4.
    public static let reserved = PacketType(rawValue: 0xc0)
}

extension PacketType: CustomStringConvertible {
    /// "DATA+END"; "ACK" when no known bit is set; reserved bits in hexadecimal.
    public var description: String {
        let names: [(PacketType, String)] = [
            (.data, "DATA"), (.end, "END"), (.sack, "SACK"), (.message, "MESSAGE"), (.destroy, "DESTROY"), (.heartbeat, "HEARTBEAT"),
        ]
        var parts = names.filter { contains($0.0) }.map(\.1)
        if parts.isEmpty { parts = ["ACK"] }
        if rawValue & 0xc0 != 0 { parts.append("0x" + String(rawValue & 0xc0, radix: 16)) }
        return parts.joined(separator: "+")
    }
}

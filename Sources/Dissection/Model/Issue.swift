/// What is wrong with a packet, and where: found by decoding, re-encoding, or checking a hash, tag, id or signature.
public struct Issue: Sendable, Hashable, CustomStringConvertible {
    public enum Rule: String, Sendable, CaseIterable {
        /// The bytes do not decode.
        case decode
        /// The decoded message encodes to other bytes.
        case reencode
        /// A node id is not the hash of the sender's address.
        case nodeID = "node-id"
        /// A token was not made with the issuer's logged secrets.
        case token
        case signature
        /// An immutable value is not its target's preimage.
        case hash
        /// A Noise message is not what the logged keys give.
        case noise
        /// An authentication tag does not verify.
        case tag
        /// A stream's identifier header is not its role's.
        case header
        /// A response belongs to no request.
        case unmatched
        /// A copy differs from its original.
        case copy
        /// Nothing accounts for the bytes.
        case unexplained
        /// A stream of messages breaks its own rules.
        case order
    }

    public let rule: Rule
    /// Number of the packet; 0 if it belongs to none.
    public let packet: Int
    /// Layer and field ("udx.ack", "dht-rpc.id").
    public let field: String
    /// Offset in the packet's payload, if one byte can be pointed at.
    public let offset: Int?
    public let message: String

    public init(_ rule: Rule, packet: Int, field: String, offset: Int? = nil, _ message: String) {
        self.rule = rule
        self.packet = packet
        self.field = field
        self.offset = offset
        self.message = message
    }

    public var description: String {
        "packet \(packet), \(field)" + (offset.map { ", byte \($0)" } ?? "") + ": \(message)"
    }
}

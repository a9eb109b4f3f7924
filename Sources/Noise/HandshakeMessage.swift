import CompactEncoding

/// The outer layout of a handshake message; what is encrypted stays so. The engine and the dissector read messages through this.
public struct HandshakeMessage: Hashable, Sendable {
    /// 32 bytes, in clear.
    public var ephemeral: Bytes32?
    /// The static key and its tag, 48 bytes.
    public var encryptedStatic: [UInt8]?
    /// Everything that is left; ends with a 16-byte tag if a key exists by then.
    public var payload: [UInt8]

    public init(ephemeral: Bytes32?, encryptedStatic: [UInt8]?, payload: [UInt8]) {
        self.ephemeral = ephemeral
        self.encryptedStatic = encryptedStatic
        self.payload = payload
    }

    /// Reads message number `index` (from 0) of a pattern. NOISE-11: lengths are checked before anything is used.
    public init(pattern: HandshakePattern, index: Int, from reader: inout Reader) throws(DecodingFailure) {
        let shape = pattern.shape(of: index)
        ephemeral = shape.hasEphemeral ? try reader.fixed32("e") : nil
        encryptedStatic = shape.hasStatic ? try reader.fixed(48, "encryptedStatic") : nil
        if shape.isPayloadEncrypted {
            if reader.remaining < 16, !HandshakeMessage.toleratesShortPayload {
                throw reader.failure(.outOfBounds, "encryptedPayload")
            }
            payload = reader.raw("encryptedPayload")
        } else {
            payload = reader.raw("payload")
        }
    }

    public func encode(to writer: inout Writer) {
        if let ephemeral { writer.fixed32(ephemeral) }
        if let encryptedStatic { writer.fixed(encryptedStatic) }
        writer.raw(payload)
    }

    public var encoded: [UInt8] {
        var writer = Writer()
        encode(to: &writer)
        return writer.bytes
    }
}

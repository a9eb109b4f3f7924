import CompactEncoding
import HyperCrypto
import SansIO

/// A public key, optionally with DHT nodes at which its owner may be asked for. hyperdht.md section 19.
public struct PeerAddress: Hashable, Sendable, CompactCodable {
    public var publicKey: Bytes32
    public var nodes: [Endpoint]

    public init(publicKey: Bytes32, nodes: [Endpoint] = []) {
        self.publicKey = publicKey
        self.nodes = nodes
    }

    /// A bare key has no nodes.
    public init(from reader: inout Reader) throws(DecodingFailure) {
        publicKey = try reader.fixed32("key")
        let flags = reader.isAtEnd ? 0 : try reader.uint("flags")
        nodes = flags & 1 != 0 ? try reader.array("nodes") { reader throws(DecodingFailure) in try reader.ipv4Address("node") } : []
    }

    /// The flag is always set, as hyperdht-address 1.1.1 does.
    public func encode(to writer: inout Writer) {
        writer.fixed32(publicKey)
        writer.uint(1)
        writer.array(nodes) { $0.address($1) }
    }

    /// Reads 52 characters of z-base-32 or 64 of hexadecimal; nil for anything else. Text carries only the key.
    public init?(text: some StringProtocol) {
        guard let key = Bytes32(keyText: text) else { return nil }
        self.init(publicKey: key)
    }
}

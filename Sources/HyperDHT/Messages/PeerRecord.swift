import CompactEncoding
import SansIO

/// Who can be reached, and through which DHT nodes. hyperdht.md section 3.1. At least 33 bytes.
public struct PeerRecord: Hashable, Sendable, CompactCodable {
    public var publicKey: Bytes32
    /// IPv4 only.
    public var relayAddresses: [Endpoint]

    public init(publicKey: Bytes32, relayAddresses: [Endpoint] = []) {
        self.publicKey = publicKey
        self.relayAddresses = relayAddresses
    }

    public init(from reader: inout Reader) throws(DecodingFailure) {
        publicKey = try reader.fixed32("publicKey")
        relayAddresses = try reader.array("relayAddresses") { reader throws(DecodingFailure) in try reader.ipv4Address("relayAddress") }
    }

    public func encode(to writer: inout Writer) {
        writer.fixed32(publicKey)
        writer.array(relayAddresses) { $0.address($1) }
    }
}

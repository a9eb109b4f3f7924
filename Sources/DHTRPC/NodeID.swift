import CompactEncoding
import HyperCrypto
import SansIO

/// Node ids: they follow from the public address alone. dht-rpc.md section 3.6.
public enum NodeID {
    /// BLAKE2b-256 over host (4 octets) and port (little-endian). DHT-3. IPv6 addresses hash their 18 bytes; dht-rpc never carries one.
    public static func of(_ endpoint: Endpoint) -> Bytes32 {
        if case .v4(let host) = endpoint.address {
            return Blake2b.hash256(word: UInt64(host.byteSwapped) | UInt64(endpoint.port) << 32, count: 6)
        }
        var writer = Writer(capacity: 18)
        writer.address(endpoint)
        return Blake2b.hash256(writer.bytes)
    }

    /// Whether `id` is the id of the node at `endpoint`. DHT-30.
    public static func matches(_ id: Bytes32, _ endpoint: Endpoint) -> Bool { of(endpoint) == id }
}

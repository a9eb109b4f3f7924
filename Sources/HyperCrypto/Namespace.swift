import CompactEncoding
import SansIO

/// Domain separation: BLAKE2b-256(BLAKE2b-256(name) | one byte). hyperdht.md section 1, secret-stream.md section 2.
public enum Namespace {
    public static func derive(_ name: String, _ index: UInt8) -> Bytes32 {
        Blake2b.hash256(Blake2b.hash256(Array(name.utf8)).bytes, [index])
    }

    // The byte is the command number of hyperdht.
    public static let peerHandshake = derive("hyperswarm/dht", 0)
    public static let peerHolepunch = derive("hyperswarm/dht", 1)
    /// HDHT-2.
    public static var announce: Bytes32 { Mutation.hyperDHT(2).isActive ? unannounce : announceValue }
    private static let announceValue = derive("hyperswarm/dht", 4)
    public static let unannounce = derive("hyperswarm/dht", 5)
    public static let mutablePut = derive("hyperswarm/dht", 6)
    public static let plugin = derive("hyperswarm/dht", 10)

    public static let initiator = derive("hyperswarm/secret-stream", 0)
    public static let responder = derive("hyperswarm/secret-stream", 1)
    public static let send = derive("hyperswarm/secret-stream", 2)
}

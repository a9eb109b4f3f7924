import CompactEncoding
import HyperCrypto
import KeyLog
import PacketCapture
import SansIO
import StrictJSON
import UDX

/// What a bundle tells besides its packets: public keys, key pairs, token secrets, 32-byte values that the run used.
public struct Knowledge: Sendable {
    /// 64-byte secret keys by public key.
    public internal(set) var keyPairs: [Bytes32: KeyPair] = [:]
    public internal(set) var publicKeys: Set<Bytes32> = []
    /// Public keys by their BLAKE2b-256, which is a peer's target.
    public internal(set) var keysByTarget: [Bytes32: Bytes32] = [:]
    /// Every 32-byte value in manifest, inputs, events and key log.
    public internal(set) var values: Set<Bytes32> = []
    public internal(set) var tokenSecrets: [TokenSecretsRecord] = []
    /// Stream id that a plain UDX peer receives on.
    public internal(set) var plainStreams: [(endpoint: Endpoint, streamID: StreamID)] = []
    public internal(set) var peers: [Manifest.Peer] = []
    /// Hash of what an application received, by its length: SHA-256 in hexadecimal (events of plain streams).
    public internal(set) var receivedHashes: [(bytes: Int, sha256: String)] = []

    /// Public address of a host behind a NAT, by its private one.
    public internal(set) var publicAddresses: [IPAddress: IPAddress] = [:]

    public init() {}

    /// How the public network sees this host.
    public func publicAddress(of host: IPAddress) -> IPAddress { publicAddresses[host] ?? host }

    public init(_ bundle: TraceBundle) {
        for member in bundle.manifest?.topology?.object?.members ?? [] {
            if let lan = member.value["lan"]?.string.flatMap({ IPAddress($0) }),
                let wan = member.value["wan"]?.string.flatMap({ IPAddress($0) })
            {
                publicAddresses[lan] = wan
            }
        }
        for peer in bundle.manifest?.peers ?? [] {
            if let seed = peer.seed, let pair = KeyPair(seed: seed.bytes) { add(pair) }
            if let key = peer.publicKey { add(key: key) }
            if let id = peer.nodeID { values.insert(id) }
            if let host = peer.host, let port = peer.port, let id = peer.streamID {
                plainStreams.append((Endpoint(host, port), StreamID(id)))
            }
            peers.append(peer)
        }
        for entry in bundle.keyLog?.entries ?? [] { add(entry.record) }
        for input in bundle.inputs {
            switch input.kind {
            case .call(_, let id, _, let arguments):
                collect(id)
                arguments.forEach { collect($0) }
            case .draw(_, _, _, _, let value):
                if case .bytes(let bytes) = value, let value = Bytes32(bytes) { values.insert(value) }
            }
        }
        for event in bundle.events {
            for member in event.details.members { collect(member.value) }
            if let hash = event.details["sha256"]?.string, let count = event.details["bytes"]?.integer, hash.count == 64 {
                receivedHashes.append((bytes: Int(count), sha256: hash))
            }
        }
        for value in values { keysByTarget[Blake2b.hash256(value.bytes)] = value }
        for key in publicKeys { keysByTarget[Blake2b.hash256(key.bytes)] = key }
    }

    private mutating func add(_ pair: KeyPair) {
        keyPairs[pair.publicKey] = pair
        add(key: pair.publicKey)
    }

    mutating func add(key: Bytes32) {
        publicKeys.insert(key)
        keysByTarget[Blake2b.hash256(key.bytes)] = key
    }

    private mutating func add(_ record: KeyLogRecord) {
        func add(_ secret: [UInt8]?) { if let secret, let pair = KeyPair(secretKey: secret) { keyPairs[pair.publicKey] = pair } }
        switch record {
        case .noiseEphemeral(let record):
            add(record.staticSecretKey)
            add(record.ephemeralSecretKey)
            for key in [record.staticKey, record.remoteStaticKey] { if let key { self.add(key: key) } }
        case .noise(let record):
            add(record.staticSecretKey)
            add(record.ephemeralSecretKey)
            for key in [record.staticKey, record.remoteStaticKey] { if let key { self.add(key: key) } }
        case .secretStream(let record):
            self.add(key: record.publicKey)
            if let key = record.remotePublicKey { self.add(key: key) }
        case .tokenSecrets(let record): tokenSecrets.append(record)
        case .holepunch, .noiseError: break
        }
    }

    private mutating func collect(_ json: JSON) {
        if let text = json.string, text.utf8.count == 64, let bytes = Hex.decode(text), let value = Bytes32(bytes) { values.insert(value) }
        json.array?.forEach { collect($0) }
        for member in json.object?.members ?? [] { collect(member.value) }
    }
}

import CompactEncoding
import HyperCrypto
import SansIO

extension HandshakeMessage {
    static var toleratesShortPayload: Bool { Mutation.noise(11).isActive }
}

/// Noise's HKDF over HMAC-BLAKE2b-512. noise.md section 5.
public enum KeyDerivation {
    /// `count` (1...3) outputs of 64 bytes, chained with the counters 1, 2, 3. NOISE-5.
    public static func hkdf(chainingKey: [UInt8], input: [UInt8], count: Int) -> [[UInt8]] {
        var root = Blake2b.hmac512(key: chainingKey, input)
        defer { Sodium.wipe(&root) }
        var outputs: [[UInt8]] = []
        for number in 1...max(1, count) {
            outputs.append(Blake2b.hmac512(key: root, outputs.last ?? [], [UInt8(truncatingIfNeeded: number)]))
        }
        return outputs
    }
}

/// Noise's symmetric state: chaining key, hash, cipher key and nonce counter. It has one owner; `clone` makes the copy on which a received
/// message is tried. noise.md section 6.
public struct SymmetricState: ~Copyable {
    /// 64 bytes.
    public private(set) var hash: [UInt8]
    private var chainingKey: SecretBytes
    private var key: SecretBytes?
    public private(set) var nonce: UInt64 = 0

    /// h = ck = the 35 bytes of the name, padded with zeros, not hashed. NOISE-25.
    public init(protocolName: String) {
        let name = Array(protocolName.utf8)
        hash = name.count <= 64 ? name + [UInt8](repeating: 0, count: 64 - name.count) : Blake2b.hash512(name)
        if Mutation.noise(25).isActive { hash = Blake2b.hash512(name) }
        chainingKey = SecretBytes(hash)
        key = nil
    }

    private init(hash: [UInt8], chainingKey: consuming SecretBytes, key: consuming SecretBytes?, nonce: UInt64) {
        self.hash = hash
        self.chainingKey = chainingKey
        self.key = key
        self.nonce = nonce
    }

    public borrowing func clone() -> SymmetricState {
        SymmetricState(hash: hash, chainingKey: chainingKey.clone(), key: cloneKey(), nonce: nonce)
    }

    private borrowing func cloneKey() -> SecretBytes? {
        switch key {
        case .some(let key): key.clone()
        case .none: nil
        }
    }

    public var hasKey: Bool {
        switch key {
        case .some: true
        case .none: false
        }
    }

    /// For vectors and the dissector; whoever takes these wipes them.
    public borrowing func copySecrets() -> (chainingKey: [UInt8], key: [UInt8]?) {
        switch key {
        case .some(let key): (chainingKey.copyBytes(), key.copyBytes())
        case .none: (chainingKey.copyBytes(), nil)
        }
    }

    public mutating func mixHash(_ data: [UInt8]) { hash = Blake2b.hash512(hash, data) }

    public mutating func mixKey(_ input: [UInt8]) {
        var root = chainingKey.copyBytes()
        var outputs = KeyDerivation.hkdf(chainingKey: root, input: input, count: 2)
        chainingKey = SecretBytes(outputs[0])
        key = SecretBytes(outputs[1].prefix(32))
        nonce = 0
        Sodium.wipe(&root)
        for index in outputs.indices { Sodium.wipe(&outputs[index]) }
    }

    /// Encrypts if there is a key, bound to all that went before; mixes what goes on the wire either way. NOISE-1.
    public mutating func encryptAndHash(_ plaintext: [UInt8], field: String) throws(NoiseError) -> [UInt8] {
        guard plaintext.count + ChaChaPoly.tagLength <= SymmetricState.longestCiphertext else { throw NoiseError(.tooLong, field) }
        var output = plaintext
        switch key {
        case .some(let key):
            output = ChaChaPoly.seal(plaintext, key: key, counter: nonce, associatedData: Mutation.noise(1).isActive ? [] : hash)
        case .none: break
        }
        advanceNonce()
        mixHash(output)
        return output
    }

    /// The mirror image; throws and leaves the state as it was if the tag does not hold.
    public mutating func decryptAndHash(_ ciphertext: [UInt8], field: String) throws(NoiseError) -> [UInt8] {
        guard ciphertext.count <= SymmetricState.longestCiphertext else { throw NoiseError(.tooLong, field) }
        var output: [UInt8]? = ciphertext
        var keyed = false
        switch key {
        case .some(let key):
            keyed = true
            if Mutation.noise(11).isActive, ciphertext.count < ChaChaPoly.tagLength {
                output = []
            } else {
                output = ChaChaPoly.open(ciphertext, key: key, counter: nonce, associatedData: Mutation.noise(1).isActive ? [] : hash)
            }
            // NOISE-6, NOISE-8, NOISE-15: a tag that is not looked at.
            if output == nil, Mutation.noise(6).isActive || Mutation.noise(8).isActive || Mutation.noise(15).isActive {
                output = ChaChaPoly.openUnverified(ciphertext, key: key, counter: nonce)
            }
        case .none: break
        }
        guard let output else { throw NoiseError(.notAuthentic, field) }
        advanceNonce()
        // NOISE-19: a payload in clear is part of the transcript, too.
        if !keyed, Mutation.noise(19).isActive { return output }
        mixHash(ciphertext)
        return output
    }

    /// NOISE-22: the second ciphertext under one key has nonce 1.
    private mutating func advanceNonce() {
        guard hasKey, !Mutation.noise(22).isActive else { return }
        nonce &+= 1
    }

    /// The two keys of 32 bytes: the initiator's sending key, then its receiving key.
    public borrowing func split() -> ([UInt8], [UInt8]) {
        var root = chainingKey.copyBytes()
        var outputs = KeyDerivation.hkdf(chainingKey: root, input: [], count: 2)
        let keys = (Array(outputs[0].prefix(32)), Array(outputs[1].prefix(32)))
        Sodium.wipe(&root)
        for index in outputs.indices { Sodium.wipe(&outputs[index]) }
        return keys
    }

    /// Largest ciphertext of one AEAD call, tag included. noise.md section 8.
    public static let longestCiphertext = 65535
}

import CompactEncoding
import HyperCrypto
import SansIO

/// Opens the frames of one direction. The machine and the dissector decrypt through this. secret-stream.md section 6.
public final class SecretStreamReader {
    private var cipher: SecretStreamCipher

    /// nil unless the key (the receiver's rx, the sender's tx) has 32 and the header 24 bytes.
    public init?(key: [UInt8], header: [UInt8]) {
        guard let cipher = SecretStreamCipher(key: key, header: header) else { return nil }
        self.cipher = cipher
    }

    /// Plaintext and tag of the next frame's body; nil if it does not verify, and then nothing has changed. Any tag is accepted; REKEY and
    /// FINAL change the key, as libsodium does by itself. SS-11.
    public func open(_ body: [UInt8], range: Range<Int>? = nil) -> (plaintext: [UInt8], tag: UInt8)? {
        guard let opened = cipher.pull(body, range ?? 0..<body.count) else { return nil }
        if opened.tag != 0, Mutation.secretStream(11).isActive { return nil }
        return opened
    }
}

/// Makes the frames of one direction: key and header must never meet twice.
struct SecretStreamWriter: ~Copyable {
    private var cipher: SecretStreamCipher

    init?(key: [UInt8], header: [UInt8]) {
        guard let cipher = SecretStreamCipher(key: key, header: header) else { return nil }
        self.cipher = cipher
    }

    /// The whole frame, length included. SS-12: the tag is always MESSAGE and there is no associated data.
    mutating func frame(_ plaintext: [UInt8]) -> [UInt8] {
        var frame = cipher.push(plaintext, tag: Mutation.secretStream(12).isActive ? 1 : 0, prefix: FrameLength.size)
        let length = FrameLength(plaintext.count + SecretStreamCipher.overhead).encoded
        for (index, byte) in length.prefix(FrameLength.size).enumerated() { frame[index] = byte }
        return frame
    }
}

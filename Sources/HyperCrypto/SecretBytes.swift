import CSodium

/// Key material with one owner: it can't be copied by accident and is overwritten when it goes out of scope.
public struct SecretBytes: ~Copyable {
    private let storage: UnsafeMutablePointer<UInt8>
    public let count: Int

    public init(_ bytes: some Collection<UInt8>) {
        count = bytes.count
        storage = .allocate(capacity: max(1, count))
        var index = 0
        for byte in bytes {
            storage[index] = byte
            index += 1
        }
    }

    deinit {
        sodium_memzero(storage, count)
        storage.deallocate()
    }

    /// The bytes stay valid during `body` only.
    public borrowing func withBytes<Result>(_ body: (UnsafePointer<UInt8>) throws -> Result) rethrows -> Result {
        try body(UnsafePointer(storage))
    }

    /// A second secret with the same bytes, for work that may have to be thrown away.
    public borrowing func clone() -> SecretBytes { SecretBytes(UnsafeBufferPointer(start: storage, count: count)) }

    /// A plain copy, for key logs and vectors; whoever takes it wipes it.
    public borrowing func copyBytes() -> [UInt8] { Array(UnsafeBufferPointer(start: storage, count: count)) }
}

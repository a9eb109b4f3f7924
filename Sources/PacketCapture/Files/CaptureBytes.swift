#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The bytes of a capture: a memory-mapped file, or bytes in memory.
///
/// Unchecked Sendable: the memory is never written after `init`, and lives exactly as long as this object.
public final class CaptureBytes: @unchecked Sendable {
    public let name: String
    public let count: Int
    let base: UnsafeRawPointer
    private let isMapped: Bool

    /// Bytes in memory, copied once.
    public init(_ bytes: [UInt8], name: String) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, bytes.count), alignment: 16)
        bytes.withUnsafeBytes { if let source = $0.baseAddress { memory.copyMemory(from: source, byteCount: $0.count) } }
        base = UnsafeRawPointer(memory)
        count = bytes.count
        isMapped = false
        self.name = name
    }

    /// Maps a file. `name` is what error messages call it. The file must not be cut while it is in use.
    public convenience init(path: String, name: String? = nil) throws(CaptureError) {
        let name = name ?? path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw CaptureError("the file can't be opened: \(String(cString: strerror(errno)))", file: name) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw CaptureError("the file can't be examined: \(String(cString: strerror(errno)))", file: name)
        }
        let kind = status.st_mode & mode_t(S_IFMT)
        if kind == mode_t(S_IFDIR) { throw CaptureError("this is a folder, not a capture file", file: name) }
        guard kind == mode_t(S_IFREG), status.st_size > 0 else {
            try self.init(reading: descriptor, name: name)
            return
        }
        let size = Int(status.st_size)
        guard let memory = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), memory != MAP_FAILED else {
            throw CaptureError("the file can't be mapped: \(String(cString: strerror(errno)))", file: name)
        }
        self.init(mapped: UnsafeRawPointer(memory), count: size, name: name)
    }

    private init(mapped: UnsafeRawPointer, count: Int, name: String) {
        base = mapped
        self.count = count
        isMapped = true
        self.name = name
    }

    /// Pipes and empty files: read to the end, at most 4 GiB.
    private convenience init(reading descriptor: Int32, name: String) throws(CaptureError) {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while all.count < 1 << 32 {
            let got = read(descriptor, &buffer, buffer.count)
            if got < 0 { throw CaptureError("the file can't be read: \(String(cString: strerror(errno)))", file: name) }
            if got == 0 { break }
            all.append(contentsOf: buffer[..<got])
        }
        self.init(all, name: name)
    }

    deinit {
        if isMapped {
            munmap(UnsafeMutableRawPointer(mutating: base), count)
        } else {
            UnsafeMutableRawPointer(mutating: base).deallocate()
        }
    }

    /// A copy of `range`, clamped to what exists.
    public func array(_ range: Range<Int>) -> [UInt8] {
        let range = range.clamped(to: 0..<count)
        return [UInt8](unsafeUninitializedCapacity: range.count) { target, filled in
            if !range.isEmpty {
                target.baseAddress?.update(from: (base + range.lowerBound).assumingMemoryBound(to: UInt8.self), count: range.count)
            }
            filled = range.count
        }
    }

    /// Each read is checked against `count`: out of bounds reads as 0. Callers check lengths first; this only keeps a slip from becoming a crash.
    @inline(__always) public func byte(_ at: Int) -> UInt8 {
        at >= 0 && at < count ? base.load(fromByteOffset: at, as: UInt8.self) : 0
    }

    @inline(__always) func u16(_ at: Int, bigEndian: Bool) -> UInt16 {
        guard at >= 0, at <= count - 2 else { return 0 }
        let value = base.loadUnaligned(fromByteOffset: at, as: UInt16.self)
        return bigEndian ? UInt16(bigEndian: value) : UInt16(littleEndian: value)
    }

    @inline(__always) func u32(_ at: Int, bigEndian: Bool) -> UInt32 {
        guard at >= 0, at <= count - 4 else { return 0 }
        let value = base.loadUnaligned(fromByteOffset: at, as: UInt32.self)
        return bigEndian ? UInt32(bigEndian: value) : UInt32(littleEndian: value)
    }

    @inline(__always) func u64(_ at: Int, bigEndian: Bool) -> UInt64 {
        guard at >= 0, at <= count - 8 else { return 0 }
        let value = base.loadUnaligned(fromByteOffset: at, as: UInt64.self)
        return bigEndian ? UInt64(bigEndian: value) : UInt64(littleEndian: value)
    }
}

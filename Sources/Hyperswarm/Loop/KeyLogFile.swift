import KeyLog
import SansIO

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Appends secrets to a file in the format of the trace bundles, so that a person with a capture sees inside.
///
/// `HYPERSWARM_KEYLOGFILE=path` in the environment turns it on for every node of the process. The file holds what protects the traffic: treat it so.
public final class KeyLogFile: Sendable {
    /// The process's key log. It is open from the start if the environment says so.
    public static let shared: KeyLogFile = {
        let log = KeyLogFile()
        if let path = getenv("HYPERSWARM_KEYLOGFILE").map({ String(cString: $0) }), !path.isEmpty { try? log.open(path) }
        return log
    }()

    private let descriptor = Locked<Int32>(-1)

    public init() {}

    deinit { descriptor.withLock { if $0 >= 0 { close($0) } } }

    public var isOpen: Bool { descriptor.withLock { $0 >= 0 } }

    /// Appends to this file from now on; a new one gets its header line first. Readable by its owner alone.
    public func open(_ path: String) throws(SystemError) {
        let file = Self.openFile(path)
        guard file >= 0 else { throw SystemError(errno, "open \(path)") }
        descriptor.withLock { descriptor in
            if descriptor >= 0 { close(descriptor) }
            descriptor = file
            if lseek(file, 0, SEEK_END) == 0 { Self.write(KeyLog.header(at: Self.now) + "\n", file) }
        }
    }

    private static func openFile(_ path: String) -> Int32 {
        #if canImport(Glibc)
            Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        #else
            Darwin.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        #endif
    }

    /// Nothing happens while no file is open.
    public func append(_ record: @autoclosure () -> KeyLogRecord) {
        descriptor.withLock { descriptor in
            guard descriptor >= 0 else { return }
            Self.write(KeyLogEntry(time: Self.now, record: record()).line + "\n", descriptor)
        }
    }

    private static var now: Instant { Instant(microseconds: SystemClock.wallMicroseconds) }

    /// One line is one write, so that processes may share a file.
    private static func write(_ text: String, _ descriptor: Int32) {
        var bytes = Array(text.utf8)
        _ = bytes.withUnsafeMutableBytes { buffer in
            #if canImport(Glibc)
                Glibc.write(descriptor, buffer.baseAddress, buffer.count)
            #else
                Darwin.write(descriptor, buffer.baseAddress, buffer.count)
            #endif
        }
    }
}

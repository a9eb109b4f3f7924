import CDatagram

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A system call failed.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The errno value.
    public let code: Int32
    /// What was tried: "bind 127.0.0.1:49737".
    public let operation: String

    public init(_ code: Int32, _ operation: String) {
        self.code = code
        self.operation = operation
    }

    public var description: String { "\(operation): \(String(cString: strerror(code))) (errno \(code))" }

    /// The reference's name of the error where it has one ("EADDRINUSE").
    public var name: String {
        switch code {
        case EADDRINUSE: "EADDRINUSE"
        case EADDRNOTAVAIL: "EADDRNOTAVAIL"
        case EACCES: "EACCES"
        case EAGAIN: "EAGAIN"
        case EINVAL: "EINVAL"
        case EMSGSIZE: "EMSGSIZE"
        case ENETUNREACH: "ENETUNREACH"
        case EHOSTUNREACH: "EHOSTUNREACH"
        case ENOBUFS: "ENOBUFS"
        case ECONNREFUSED: "ECONNREFUSED"
        case ECONNRESET: "ECONNRESET"
        case EPIPE: "EPIPE"
        case ETIMEDOUT: "ETIMEDOUT"
        case EPERM: "EPERM"
        case EMFILE: "EMFILE"
        default: "E\(code)"
        }
    }

    static func check(_ code: Int32, _ operation: @autoclosure () -> String) throws(SystemError) {
        if code != 0 { throw SystemError(code, operation()) }
    }
}

/// Why a stream broke. `code` is the reference's name of the reason where it has one.
public struct StreamFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// `ECONNRESET`, `ETIMEDOUT`, `PEER_NOT_FOUND`, ...
    public let code: String
    /// For people.
    public let message: String

    public init(code: String, message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) (\(code))" }
}

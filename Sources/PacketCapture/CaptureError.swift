/// A capture that can't be read or written: which file, where, and what is wrong with it.
public struct CaptureError: Error, Hashable, Sendable, CustomStringConvertible {
    public let file: String
    /// Byte offset in the file; nil where there is none (a file that can't be opened).
    public let offset: Int?
    public let message: String

    public init(_ message: String, file: String, offset: Int? = nil) {
        self.message = message
        self.file = file
        self.offset = offset
    }

    public var description: String { offset.map { "\(file), offset \($0): \(message)" } ?? "\(file): \(message)" }
}

/// A line of a key log, or of another JSON-lines file of a bundle, that says something we do not accept.
public struct KeyLogError: Error, Hashable, Sendable, CustomStringConvertible {
    public let file: String
    /// Counted from 1; 0 when the whole file is meant.
    public let line: Int
    /// Byte offset in the file.
    public let offset: Int
    public let message: String

    public init(_ message: String, file: String, line: Int, offset: Int) {
        self.message = message
        self.file = file
        self.line = line
        self.offset = offset
    }

    public var description: String {
        line > 0 ? "\(file), line \(line), offset \(offset): \(message)" : "\(file), offset \(offset): \(message)"
    }
}

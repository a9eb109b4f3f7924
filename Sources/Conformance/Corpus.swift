import Foundation
import StrictJSON

/// A file could not be used: which, where, and what to do.
public struct CorpusError: Error, Sendable, CustomStringConvertible {
    public let file: String
    public let offset: Int?
    public let message: String

    public init(_ message: String, file: String, offset: Int? = nil) {
        self.message = message
        self.file = file
        self.offset = offset
    }

    public var description: String { offset.map { "\(file), offset \($0): \(message)" } ?? "\(file): \(message)" }
}

/// The data that implementations are held against: `vectors/*.json`, `Fixtures/*`, `requirements.json`.
public struct Corpus: Sendable {
    /// The folder that holds `vectors` and `Fixtures`.
    public let root: String
    /// Files that stand in for those on disk, by path below the root: for tests that damage a vector.
    public var overlays: [String: [UInt8]] = [:]

    public init(root: String) { self.root = root }

    public func read(_ path: String) throws -> [UInt8] {
        if let overlay = overlays[path] { return overlay }
        guard let data = FileManager.default.contents(atPath: root + "/" + path) else {
            throw CorpusError("the file can't be read", file: path)
        }
        return [UInt8](data)
    }

    /// Walks up from `start` (default: the working directory) to the first folder that holds `vectors` and `Fixtures`.
    public static func find(from start: String = FileManager.default.currentDirectoryPath) -> Corpus? {
        var folder = URL(fileURLWithPath: start).standardizedFileURL
        while true {
            var isDirectory: ObjCBool = false
            if FileManager.default.fileExists(atPath: folder.appendingPathComponent("vectors").path, isDirectory: &isDirectory),
                isDirectory.boolValue,
                FileManager.default.fileExists(atPath: folder.appendingPathComponent("requirements.json").path)
            {
                return Corpus(root: folder.path)
            }
            let parent = folder.deletingLastPathComponent()
            if parent.path == folder.path { return nil }
            folder = parent
        }
    }
}

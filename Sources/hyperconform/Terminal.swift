import Foundation

/// What a terminal is told, and how.
enum Terminal {
    static func isTerminal(_ file: Int32) -> Bool { isatty(file) == 1 }

    /// Colour only where a person sees it and has not forbidden it.
    static var colours: Bool {
        let environment = ProcessInfo.processInfo.environment
        return isTerminal(STDOUT_FILENO) && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
    }

    static func warn(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

    static func fail(_ text: String, _ code: Int32, prefix: String = "hyperconform: ") -> Never {
        warn(prefix + text)
        exit(code)
    }

    /// Writes the whole text to a file, or to standard output for nil or "-".
    static func write(_ text: String, to path: String?) throws {
        guard let path, path != "-" else {
            FileHandle.standardOutput.write(Data(text.utf8))
            return
        }
        do { try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic) } catch {
            throw OutputError(path: path)
        }
    }
}

/// A file could not be written.
struct OutputError: Error, CustomStringConvertible {
    let path: String
    var description: String { "\(path): the file can't be written; does the folder exist, and may you write there?" }
}

/// A line on standard error that says how far we are; it first shows after a second, and only on a terminal.
final class Progress {
    private let what: String
    private let total: Int
    private let start = Date()
    private var shown = false
    private let enabled = Terminal.isTerminal(STDERR_FILENO)

    init(_ what: String, total: Int) {
        self.what = what
        self.total = total
    }

    func update(_ done: Int) {
        guard enabled, shown || Date().timeIntervalSince(start) > 1 else { return }
        shown = true
        FileHandle.standardError.write(Data("\r\u{1b}[K\(what) \(done) of \(total)".utf8))
    }

    func end() {
        if shown { FileHandle.standardError.write(Data("\r\u{1b}[K".utf8)) }
    }
}

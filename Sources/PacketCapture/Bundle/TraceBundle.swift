import KeyLog
import SansIO
import StrictJSON

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A recorded run: a folder with capture, manifest, key log, inputs and events. Loading is strict; what is there must be readable.
public struct TraceBundle: Sendable {
    /// The folder's last component, with "again/" before it for a second recording.
    public let name: String
    public let path: String
    public let capture: Capture
    /// Other sides of the same run ("client", "server" of the NAT scenarios).
    public let extraCaptures: [(name: String, capture: Capture)]
    public let manifest: Manifest?
    public let keyLog: KeyLog?
    public let inputs: [RecordedInput]
    public let events: [RecordedEvent]

    /// Reads the bundle at `path`: a folder, or a single capture file (then manifest, inputs and events are absent; the key log comes from
    /// `keyLogPath` or from the capture's secrets block).
    ///
    /// Throws `CaptureError` or `KeyLogError`; both name file and offset.
    public init(path: String, name: String? = nil, keyLogPath: String? = nil) throws {
        var status = stat()
        guard stat(path, &status) == 0 else { throw CaptureError("there is no such file or folder", file: path) }
        let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        if status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR) {
            let components = trimmed.split(separator: "/")
            let last = components.last.map(String.init) ?? trimmed
            let found = name ?? (components.dropLast().last == "again" ? "again/" + last : last)
            try self.init(folder: trimmed, name: found, keyLogPath: keyLogPath)
        } else {
            let capture = try Capture(path: trimmed)
            var keyLog = try keyLogPath.map { try KeyLog(parsing: try TraceBundle.read($0), file: $0) }
            if let embedded = try capture.embeddedKeyLog() { keyLog = KeyLog(entries: (keyLog?.entries ?? []) + embedded.entries) }
            self.init(
                name: name ?? trimmed.split(separator: "/").last.map(String.init) ?? trimmed, path: trimmed, capture: capture,
                keyLog: keyLog)
        }
    }

    private init(folder: String, name: String, keyLogPath: String?) throws {
        let files = try TraceBundle.list(folder)
        let main = files.contains("capture.pcap") ? "capture.pcap" : "capture.pcapng"
        guard files.contains(main) else {
            throw CaptureError("the bundle has no capture.pcap or capture.pcapng", file: folder)
        }
        let capture = try Capture(path: folder + "/" + main)
        guard !capture.packets.isEmpty else { throw CaptureError("the capture holds no packet", file: folder + "/" + main, offset: 0) }
        var extra: [(name: String, capture: Capture)] = []
        for file in files where file.hasPrefix("capture.") && (file.hasSuffix(".pcap") || file.hasSuffix(".pcapng")) && file != main {
            let middle = file.dropFirst("capture.".count)
            guard let dot = middle.lastIndex(of: ".") else { continue }
            extra.append((String(middle[..<dot]), try Capture(path: folder + "/" + file)))
        }
        func text(_ file: String) throws -> [UInt8]? { files.contains(file) ? try TraceBundle.read(folder + "/" + file) : nil }
        guard let manifest = try text("manifest.json") else { throw CaptureError("the bundle has no manifest.json", file: folder) }
        var keyLog = try text("keylog.jsonl").map { try KeyLog(parsing: $0, file: folder + "/keylog.jsonl") }
        if let keyLogPath { keyLog = try KeyLog(parsing: try TraceBundle.read(keyLogPath), file: keyLogPath) }
        if keyLog == nil { keyLog = try capture.embeddedKeyLog() }
        self.init(
            name: name, path: folder, capture: capture, extraCaptures: extra,
            manifest: try Manifest(parsing: manifest, file: folder + "/manifest.json"), keyLog: keyLog,
            inputs: try text("inputs.jsonl").map { try RecordedInput.parse($0, file: folder + "/inputs.jsonl") } ?? [],
            events: try text("events.jsonl").map { try RecordedEvent.parse($0, file: folder + "/events.jsonl") } ?? [])
    }

    public init(
        name: String, path: String, capture: Capture, extraCaptures: [(name: String, capture: Capture)] = [], manifest: Manifest? = nil,
        keyLog: KeyLog? = nil, inputs: [RecordedInput] = [], events: [RecordedEvent] = []
    ) {
        self.name = name
        self.path = path
        self.capture = capture
        self.extraCaptures = extraCaptures
        self.manifest = manifest
        self.keyLog = keyLog
        self.inputs = inputs
        self.events = events
    }

    /// The same run with another capture in its place.
    public func with(capture: Capture) -> TraceBundle {
        TraceBundle(
            name: name, path: path, capture: capture, extraCaptures: extraCaptures, manifest: manifest, keyLog: keyLog, inputs: inputs,
            events: events)
    }

    /// The bundle folders below `folder` (one level, and one more below "again"), sorted by name.
    public static func folders(in folder: String) throws -> [String] {
        var result: [String] = []
        for name in try list(folder) {
            let path = folder + "/" + name
            guard let inner = try? list(path) else { continue }
            if inner.contains("capture.pcap") || inner.contains("capture.pcapng") {
                result.append(path)
            } else if name == "again" {
                result += try folders(in: path)
            }
        }
        return result
    }

    /// Names in a folder, sorted.
    static func list(_ folder: String) throws -> [String] {
        guard let directory = opendir(folder) else {
            throw CaptureError("the folder can't be read: \(String(cString: strerror(errno)))", file: folder)
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    static func read(_ path: String) throws -> [UInt8] {
        let bytes = try CaptureBytes(path: path)
        return bytes.array(0..<bytes.count)
    }
}

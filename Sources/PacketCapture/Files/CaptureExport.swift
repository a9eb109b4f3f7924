import KeyLog
import SansIO

/// Copies a capture into pcapng, with a key log and comments in it.
public enum CaptureExport {
    /// `comments`: by packet number. Frames are copied as they are; all must have one link type, as all of one interface have.
    public static func pcapng(_ capture: Capture, keyLog: KeyLog?, comments: [Int: [String]]) throws(CaptureError) -> [UInt8] {
        let types = Set(capture.file.frames.map(\.linkType))
        guard types.count <= 1 else {
            throw CaptureError("the capture has several link types, which one interface can't have; split it first", file: capture.name)
        }
        var writer = PcapNGWriter(linkType: types.first ?? .ethernet)
        if let keyLog {
            writer.add(keyLog: keyLog, headerTime: Instant(microseconds: (capture.file.frames.first?.timeNanoseconds ?? 0) / 1000))
        }
        for frame in capture.file.frames {
            writer.add(
                frame: capture.file.bytes.array(frame.range), timeNanoseconds: frame.timeNanoseconds, originalLength: frame.originalLength,
                comments: frame.comments + (comments[frame.number] ?? []))
        }
        return writer.bytes
    }
}

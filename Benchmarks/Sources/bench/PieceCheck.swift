#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Compares a byte stream with one piece that repeats.
struct PieceCheck {
    private let piece: [UInt8]
    private(set) var count = 0
    private(set) var isRight = true

    init(_ piece: [UInt8]) { self.piece = piece }

    mutating func add(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bytes in
            piece.withUnsafeBytes { piece in
                guard let source = bytes.baseAddress, let expected = piece.baseAddress else { return }
                var offset = 0
                while offset < bytes.count {
                    let position = (count + offset) % piece.count
                    let length = min(piece.count - position, bytes.count - offset)
                    if memcmp(source + offset, expected + position, length) != 0 { isRight = false }
                    offset += length
                }
            }
        }
        count += bytes.count
    }
}

/// One line on standard output, at once.
func say(_ line: String) {
    print(line)
    fflush(nil)
}

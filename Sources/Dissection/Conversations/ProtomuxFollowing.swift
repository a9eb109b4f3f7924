import CompactEncoding
import SansIO

extension TraceDissector {
    func followProtomux(_ trace: inout SecretStreamTrace) {
        for frame in trace.frames where !frame.plaintext.isEmpty {
            result.packets[frame.packet].units.append(plaintextUnit(frame.plaintext, "plaintext"))
        }
    }
}

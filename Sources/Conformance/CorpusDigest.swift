import CompactEncoding
import Foundation
import HyperCrypto

extension Corpus {
    /// Names of the vector files, sorted, without ".json".
    public func vectorNames() throws -> [String] {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: root + "/vectors") else {
            throw CorpusError("the folder can't be read; give the corpus with --corpus DIR", file: "vectors")
        }
        return names.filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }.sorted()
    }

    /// All vector files. Loading is strict: the first that does not load ends it.
    public func vectorFiles() throws -> [VectorFile] {
        try vectorNames().map { name in
            try VectorFile(name, in: self, schema: name.hasSuffix("-exchanges") ? "hyperswarm-exchanges/1" : "hyperswarm-vectors/1")
        }
    }

    /// BLAKE2b-256 over the paths and the contents of everything that a run is held against: the catalogue, the vectors and the recordings.
    public func digest() throws -> String {
        var paths = [Catalogue.path]
        for folder in ["Fixtures", "vectors"] {
            guard let files = FileManager.default.enumerator(atPath: root + "/" + folder) else { continue }
            for case let file as String in files {
                var isDirectory: ObjCBool = false
                let path = folder + "/" + file
                if FileManager.default.fileExists(atPath: root + "/" + path, isDirectory: &isDirectory), !isDirectory.boolValue {
                    paths.append(path)
                }
            }
        }
        var lines: [UInt8] = []
        for path in paths.sorted() {
            lines += Array("\(Blake2b.hash256(try read(path)).description) \(path)\n".utf8)
        }
        return Hex.encode(Blake2b.digest(32, [lines], key: []))
    }
}

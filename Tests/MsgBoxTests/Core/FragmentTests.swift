import MsgBox
import Testing

@Suite("Messages of several packets over UDP")
struct FragmentTests {
  private static let pieces: [[UInt8]] = [[1, 2], [3, 4], [5, 6], [7, 8], [9]]

  private func part(
    _ session: UInt64, _ messageID: UInt32, _ index: Int, _ pieces: [[UInt8]] = pieces
  ) -> [UInt8] {
    RawPacket.part(
      session, messageID: messageID, packets: UInt16(pieces.count), packet: UInt16(index),
      pieces[index])
  }

  @Test("Every order of five packets, each sent twice, makes the message once")
  func permutations() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    let orders = permutationsOf(Array(0..<5))
    for (messageID, order) in orders.enumerated() {
      for index in order + order.reversed() {
        raw.stranger.send(part(session, UInt32(messageID), index), to: raw.address)
      }
      raw.simulation.run(for: .milliseconds(20))
    }
    #expect(orders.count == 120)
    let whole = Self.pieces.flatMap { $0 }
    #expect(raw.server.log.all(.message).map(\.bytes) == orders.map { _ in whole })
    #expect(raw.server.census.incompleteBytes == 0)
    #expect(raw.server.dropped(.incomplete) == 0)
  }

  private func permutationsOf(_ values: [Int]) -> [[Int]] {
    guard values.count > 1 else { return [values] }
    return values.flatMap { first in
      permutationsOf(values.filter { $0 != first }).map { [first] + $0 }
    }
  }

  @Test("Whichever of five is lost, nothing is delivered, and it is freed and counted after 10 s")
  func oneMissing() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    for missing in 0..<5 {
      for index in 0..<5 where index != missing {
        raw.stranger.send(part(session, UInt32(missing), index), to: raw.address)
      }
    }
    raw.simulation.run(for: .milliseconds(9900))
    #expect(raw.server.census.incompleteBytes > 0)
    #expect(raw.server.dropped(.incomplete) == 0)
    raw.simulation.run(for: .milliseconds(200))
    #expect(raw.server.census.incompleteBytes == 0)
    #expect(raw.server.dropped(.incomplete) == 5)
    // What was missing comes too late.
    for missing in 0..<5 { raw.send(part(session, UInt32(missing), missing)) }
    #expect(raw.server.log.count(.message) == 0)
  }

  @Test("Messages of equal size that are in flight together do not mix")
  func interleaved() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    let pieces = { (base: UInt8) in (UInt8(0)..<10).map { [base + $0, base] } }
    for index in 0..<10 {
      for (messageID, base) in [UInt8(0), 100, 200].enumerated() {
        let at = messageID == 2 ? 9 - index : index
        raw.stranger.send(part(session, UInt32(messageID), at, pieces(base)), to: raw.address)
      }
    }
    raw.simulation.run(for: .milliseconds(50))
    let messages = raw.server.log.all(.message).map(\.bytes).sorted { $0[0] < $1[0] }
    #expect(messages == [UInt8(0), 100, 200].map { pieces($0).flatMap { $0 } })
  }

  @Test("A packet that contradicts those before it ends its message, and no other")
  func contradictions() throws {
    let wrong: [(UInt16, UInt16, [UInt8])] = [
      (6, 1, [3, 4]), (5, 1, [3]), (5, 4, [1, 2, 3]), (5, 4, []), (4, 0, [1, 2]),
    ]
    for (packets, packet, payload) in wrong {
      let raw = try RawServer()
      let (session, _) = try raw.join()
      raw.send(part(session, 1, 0), part(session, 2, 0))
      raw.send(
        RawPacket.part(session, messageID: 1, packets: packets, packet: packet, payload))
      for index in 1..<5 { raw.send(part(session, 1, index), part(session, 2, index)) }
      #expect(raw.server.log.count(.message) == 1, "\(packets) \(packet) \(payload)")
      #expect(raw.server.dropped(.fragment) >= 1)
      #expect(raw.server.census.incompleteBytes == 0)
    }
  }

  @Test("A message above the own largest is dropped as soon as its packets tell")
  func tooBig() throws {
    var options = ConnectionOptions()
    options.maxMessageBytes = 9
    let raw = try RawServer(options: options)
    let (session, _) = try raw.join()
    for index in 0..<5 { raw.send(part(session, 1, index)) }
    #expect(raw.server.log.count(.message) == 1)
    raw.send(
      RawPacket.part(session, messageID: 2, packets: 6, packet: 0, [1, 2]),
      RawPacket.part(session, messageID: 3, packets: .max, packet: 9, [1]))
    #expect(raw.server.dropped(.tooBig) == 2)
    #expect(raw.server.census.incompleteBytes == 0)
    // Of this one it shows when the size of its parts is known.
    raw.send(RawPacket.part(session, messageID: 4, packets: 2, packet: 1, [1]))
    #expect(raw.server.census.incompleteBytes > 0)
    raw.send(
      RawPacket.part(session, messageID: 4, packets: 2, packet: 0, [UInt8](repeating: 1, count: 9)))
    #expect(raw.server.dropped(.tooBig) == 3)
    #expect(raw.server.census.incompleteBytes == 0 && raw.server.log.count(.message) == 1)
  }

  @Test("Sizes on both sides of a datagram, as one-way, request and reply")
  func packetBoundary() throws {
    let options = roomyOptions()
    let pair = try Pair(.udp, serverOptions: options, clientOptions: options)
    let bytes = { (size: Int) in (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ size) } }
    let oneWay = [0, 1, 1183, 1184, 1185, 2359, 2360, 2361]
    for size in oneWay {
      #expect(pair.client.send(bytes(size), to: pair.up) == .ok)
      pair.run(for: .milliseconds(1))
    }
    _ = try #require(pair.server.wait(for: .message, count: oneWay.count))
    #expect(pair.server.log.all(.message).map(\.bytes) == oneWay.map(bytes))
    pair.server.onEvent = { node, event in
      guard event.kind == .request else { return }
      #expect(node.answer(event.bytes, to: event.request) == .ok)
    }
    let requests = [0, 1, 1165, 1166, 1167, 1179, 1180, 1181, 2331, 2332, 2333, 50_000]
    for size in requests {
      #expect(pair.client.get(bytes(size), from: pair.up, context: UInt(size)) == .ok)
    }
    _ = try #require(pair.client.wait(for: .reply, count: requests.count))
    for reply in pair.client.log.all(.reply) {
      #expect(reply.bytes == bytes(Int(reply.getContext)))
    }
    pair.finish()
  }

  @Test("Sizes on both sides of the largest message, for every kind of send")
  func messageBoundary() throws {
    var own = roomyOptions(largest: 7000)
    own.getTimeout = .seconds(2)
    let pair = try Pair(
      .udp, serverOptions: roomyOptions(largest: 3000), clientOptions: own)
    let bytes = { [UInt8](repeating: 5, count: $0) }
    for size in [2999, 3000] {
      #expect(pair.client.send(bytes(size), to: pair.up) == .ok)
      #expect(pair.client.sendReliably(bytes(size), to: pair.up) == .ok)
      #expect(pair.client.get(bytes(size), from: pair.up, context: UInt(size)) == .ok)
    }
    #expect(pair.client.send(bytes(3001), to: pair.up) == .tooBig)
    #expect(pair.client.sendReliably(bytes(3001), to: pair.up) == .tooBig)
    #expect(pair.client.get(bytes(3001), from: pair.up, context: 1) == .tooBig)
    _ = try #require(pair.server.wait(for: .request, count: 2))
    pair.run(for: .milliseconds(100))
    #expect(pair.server.log.all(.message).map(\.bytes.count).sorted() == [2999, 2999, 3000, 3000])
    let requests = pair.server.log.all(.request).map(\.request)
    #expect(pair.server.answer(bytes(7001), to: requests[0]) == .tooBig)
    #expect(pair.server.answer(bytes(7000), to: requests[0]) == .ok)
    #expect(pair.server.answer(bytes(6999), to: requests[1]) == .ok)
    _ = try #require(pair.client.wait(for: .reply, count: 2))
    #expect(pair.client.log.all(.reply).map(\.bytes.count).sorted() == [6999, 7000])
    pair.finish()
  }

  @Test("The largest message of all is 64 MiB")
  func hardLimit() throws {
    var options = roomyOptions(largest: 67_108_864)
    #expect(options.isValid)
    let pair = try Pair(.udp, serverOptions: options, clientOptions: options)
    let bytes = [UInt8](repeating: 5, count: 67_108_865)
    #expect(pair.client.send(bytes, to: pair.up) == .tooBig)
    #expect(pair.client.sendReliably(bytes, to: pair.up) == .tooBig)
    #expect(pair.client.get(bytes, from: pair.up, context: 1) == .tooBig)
    options.maxMessageBytes += 1
    #expect(!options.isValid)
    pair.finish()
  }

  @Test(
    "Requests and replies of several packets at loss: each handled once, each with one outcome",
    arguments: ReliableTests.paths)
  func requests(loss: Int, seed: UInt64) throws {
    var conditions = LinkConditions()
    conditions.loss = loss
    conditions.duplication = 50
    conditions.reordering = 100
    let options = roomyOptions()
    let pair = try Pair(
      .udp, seed: seed, serverOptions: options, clientOptions: options, conditions: conditions)
    var handled: [Int: Int] = [:]
    pair.server.onEvent = { node, event in
      guard event.kind == .request, let mark = Marked.read(event.bytes) else { return }
      handled[mark.index, default: 0] += 1
      #expect(node.answer(event.bytes, to: event.request) == .ok)
    }
    for index in 0..<100 {
      let bytes = Marked.bytes(
        channel: 0, index: index, size: 1181 + pair.simulation.random.below(12_000))
      let status = pair.client.get(
        bytes, from: pair.up, context: UInt(index + 1), timeout: .seconds(60))
      #expect(status == .ok)
    }
    pair.simulation.run(within: .seconds(61)) {
      pair.client.log.count(.reply) + pair.client.log.count(.replyMissing) == 100
    }
    #expect(pair.client.log.count(.reply) == 100)
    #expect(handled.count == 100 && handled.values.allSatisfy { $0 == 1 })
    for reply in pair.client.log.all(.reply) {
      #expect(Marked.read(reply.bytes)?.index == Int(reply.getContext) - 1)
    }
    pair.simulation.changeAll { $0.loss = 0 }
    pair.finish()
  }

  @Test("Unreliable messages of several packets at loss: whole or not at all, and nothing is left")
  func unreliable() throws {
    var conditions = LinkConditions()
    conditions.loss = 20
    conditions.reordering = 100
    let options = roomyOptions()
    let pair = try Pair(
      .udp, seed: 9, serverOptions: options, clientOptions: options, conditions: conditions)
    for index in 0..<100 {
      let bytes = Marked.bytes(channel: 0, index: index, size: 12_000)
      #expect(pair.client.send(bytes, to: pair.up) == .ok)
      pair.run(for: .milliseconds(5))
    }
    pair.run(for: .seconds(11))
    let marks = pair.server.log.all(.message).compactMap { Marked.read($0.bytes)?.index }
    let arrived = pair.server.log.count(.message)
    #expect(marks.count == arrived && Set(marks).count == arrived)
    #expect(arrived > 60 && arrived < 100)
    #expect(Int(pair.server.dropped(.incomplete)) == 100 - arrived)
    #expect(pair.server.census.incompleteBytes == 0)
    pair.finish()
  }
}

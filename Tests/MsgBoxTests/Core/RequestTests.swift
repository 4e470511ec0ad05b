import MsgBox
import Testing

@Suite("Requests and replies")
struct RequestTests {
  @Test(
    "A get that nobody answers is missing after its time-out", arguments: bothTransports)
  func timeOut(transport: Transport) throws {
    let pair = try Pair(transport)
    let start = pair.simulation.now
    #expect(pair.client.get("", from: pair.up, context: 1) == .ok)
    #expect(pair.client.get("", from: pair.up, context: 2, timeout: .seconds(1)) == .ok)
    let first = try #require(pair.client.wait(for: .replyMissing))
    #expect(first.getContext == 2 && first.status == .timedOut)
    #expect(first.time.since(start) >= .seconds(1))
    #expect(first.time.since(start) <= .milliseconds(1100))
    let second = try #require(pair.client.wait(for: .replyMissing, count: 2))
    #expect(second.getContext == 1 && second.status == .timedOut)
    #expect(second.time.since(start) >= .seconds(5))
    #expect(second.time.since(start) <= .milliseconds(5100))
    pair.finish()
  }

  @Test("While each get is answered soon, the time to look at one stays ahead")
  func timerStaysAhead() throws {
    let pair = try Pair(.udp)
    pair.server.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer("", to: event.request) == .ok) }
    }
    var near = 0
    for count in 1...300 {
      #expect(pair.client.get("", from: pair.up) == .ok)
      let timer = pair.client.endpoint.nextTimer
      let due = try #require(timer)
      if due.since(pair.simulation.now) < .milliseconds(10) { near += 1 }
      #expect(pair.client.wait(for: .reply, count: count) != nil)
    }
    #expect(near <= 5, "visits of the rotation, and the first ones")
    pair.finish()
  }

  @Test(
    "Gets of any patience, many of them answered or cancelled, each end when theirs does",
    arguments: bothTransports)
  func anyPatience(transport: Transport) throws {
    let pair = try Pair(transport)
    pair.server.onEvent = { node, event in
      guard event.kind == .request, event.text == "answer" else { return }
      #expect(node.answer("", to: event.request) == .ok)
    }
    var random = SeededRandom(seed: 3)
    var ends: [UInt: Instant] = [:]
    var handles: [Handle] = []
    for context in UInt(1)...600 {
      // Often the same, so that gets come in order of their ends and out of it.
      let patience = Interval.milliseconds(
        random.chance(500) ? 2000 : UInt64(1 + random.below(6000)))
      let text = random.chance(300) ? "answer" : "wait"
      let get = try pair.client.ask(
        Array(text.utf8), from: pair.up, context: context, timeout: patience
      ).get()
      if text == "wait" {
        ends[context] = pair.simulation.now + patience
        handles.append(get)
      }
      if random.chance(100), !handles.isEmpty {
        let status = pair.client.cancel(get: handles[random.below(handles.count)])
        #expect(status == .ok || status == .badHandle)
      }
      pair.run(for: .milliseconds(UInt64(random.below(12))))
    }
    pair.run(for: .seconds(10))
    let missing = pair.client.log.all(.replyMissing)
    for event in missing {
      let end = try #require(ends[event.getContext])
      let isCancelled = event.status == .cancelled
      #expect(isCancelled || event.time >= end)
      #expect(isCancelled || event.time.since(end) <= .milliseconds(1))
    }
    #expect(missing.count == ends.count && missing.contains { $0.status == .timedOut })
    #expect(pair.client.log.count(.reply) == 600 - ends.count)
    #expect(pair.client.census.getsWaiting == 0)
    pair.finish()
  }

  @Test(
    "100 gets are missing before a dead server is lost, once", arguments: bothTransports)
  func deadServer(transport: Transport) throws {
    let pair = try Pair(transport)
    for context in UInt(1)...100 {
      #expect(
        pair.client.get("", from: pair.up, context: context, timeout: .seconds(600)) == .ok)
    }
    pair.run(for: .seconds(1))
    let start = pair.simulation.now
    pair.server.powerOff()
    let lost = try #require(pair.client.wait(for: .connectionLost, within: .seconds(60)))
    #expect(lost.status == .timedOut)
    #expect(lost.time.since(start) >= .seconds(28) && lost.time.since(start) <= .seconds(40))
    #expect(pair.client.log.count(.replyMissing) == 100)
    #expect(pair.client.log.events.last?.kind == .connectionLost)
    #expect(pair.client.log.all(.replyMissing).allSatisfy { $0.status == .connectionEnded })
    pair.run(for: .seconds(60))
    #expect(pair.client.log.count(.connectionLost) == 1)
    pair.finish()
  }

  @Test(
    "A reply after the time-out is dropped and counted, and is no event",
    arguments: bothTransports)
  func lateReply(transport: Transport) throws {
    let pair = try Pair(transport)
    #expect(pair.client.get("", from: pair.up, timeout: .milliseconds(100)) == .ok)
    _ = try #require(pair.client.wait(for: .replyMissing))
    let request = try #require(pair.server.log.last(.request)).request
    let before = pair.client.log.total
    #expect(pair.server.answer("late", to: request) == .ok)
    pair.run(for: .seconds(1))
    #expect(pair.client.log.total == before)
    #expect(pair.client.dropped(.staleReply) == 1)
    pair.finish()
  }

  @Test("A reply must carry both numbers of its request, and counts once")
  func bothNumbers() throws {
    let simulation = Simulation()
    let server = simulation.addNode("server")
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    let address = server.address(of: listener)
    let stranger = simulation.addStranger(at: Address(ip: IPAddress(v4: 1), port: 1))
    let session = try #require(stranger.shakeHands(with: address, own: 5, in: simulation))
    let handle = try #require(server.log.last(.connectionReady)).handle
    stranger.forget()
    #expect(server.get("?", from: handle, context: 3) == .ok)
    simulation.run(for: .milliseconds(100))
    let request = try #require(stranger.received.first { $0.kind == .request })
    let replyID = try #require(request.replyID)
    let messageID = UInt32(try #require(RawPacket.number(request.bytes, at: 16, count: 4)))
    let other: UInt16 = replyID == 9 ? 10 : 9
    let wrong = [
      RawPacket.reply(session, replyID: replyID, messageID: messageID &+ 1, [1]),
      RawPacket.reply(session, replyID: other, messageID: messageID, [2]),
      RawPacket.reply(session, replyID: 0, messageID: messageID, [3]),
    ]
    for packet in wrong { stranger.send(packet, to: address) }
    simulation.run(for: .milliseconds(100))
    #expect(server.log.count(.reply) == 0)
    #expect(server.counters.allDrops == 3)
    let right = RawPacket.reply(session, replyID: replyID, messageID: messageID, [4])
    stranger.send(right, to: address)
    stranger.send(right, to: address)
    simulation.run(for: .milliseconds(100))
    #expect(server.log.all(.reply).map(\.bytes) == [[4]])
    #expect(server.log.last(.reply)?.getContext == 3)
    #expect(server.dropped(.staleReply) >= 3)
    finishAll(simulation)
  }

  @Test("70 000 gets with 3 never answered each have their own outcome")
  func manyGets() throws {
    var options = ConnectionOptions()
    options.getTimeout = .seconds(3600)
    let pair = try Pair(.udp, clientOptions: options)
    var kept: [Handle] = []
    pair.server.onEvent = { node, event in
      guard event.kind == .request else { return }
      if event.text == "keep" {
        kept.append(event.request)
      } else {
        _ = node.answer(event.bytes, to: event.request)
      }
    }
    pair.client.log.isCountingOnly = true
    pair.server.log.isCountingOnly = true
    var contexts = Set<UInt>()
    pair.client.onEvent = { _, event in
      guard event.kind == .reply else { return }
      if event.text != "late" && event.text != "\(event.getContext)" {
        Issue.record("\(event.text) came to the get \(event.getContext)")
      }
      contexts.insert(event.getContext)
    }
    for batch in 0..<100 {
      for index in 0..<700 {
        let context = UInt(batch * 700 + index)
        let text = [1, 500, 30_000].contains(context) ? "keep" : "\(context)"
        if pair.client.get(text, from: pair.up, context: context) != .ok {
          Issue.record("the get \(context) was refused")
        }
      }
      pair.run(for: .milliseconds(50))
    }
    #expect(contexts.count == 69_997)
    #expect(kept.count == 3)
    for request in kept { #expect(pair.server.answer("late", to: request) == .ok) }
    pair.run(for: .seconds(1))
    #expect(contexts.count == 70_000)
    #expect(pair.client.log.count(.replyMissing) == 0)
    pair.finish()
  }

  @Test("With 65 535 gets outstanding one more is busy, and each of them has its outcome")
  func busy() throws {
    var options = ConnectionOptions()
    options.sendMarkMessages = 1_000_000
    options.sendMarkBytes = 1 << 30
    options.getTimeout = .seconds(20)
    let pair = try Pair(.udp, clientOptions: options)
    pair.client.log.isCountingOnly = true
    pair.server.log.isCountingOnly = true
    for context in UInt(1)...65_535 {
      let status = pair.client.get([], from: pair.up, context: context)
      if status != .ok { Issue.record("the get \(context) gives \(status)") }
    }
    #expect(pair.client.get([], from: pair.up, context: 0) == .busy)
    #expect(pair.client.census.getsWaiting == 65_535)
    pair.run(for: .seconds(1))
    #expect(pair.client.get([], from: pair.up, context: 0) == .busy)
    pair.run(for: .seconds(20))
    #expect(pair.client.log.count(.replyMissing) == 65_535)
    #expect(pair.client.get([], from: pair.up, context: 0) == .ok)
    pair.finish()
  }

  @Test(
    "Requests of two clients in one turn, answered in any order, go back to their own",
    arguments: bothTransports)
  func twoClients(transport: Transport) throws {
    let pair = try Pair(transport)
    let other = pair.simulation.addNode("other")
    let handle = other.connect(transport, to: pair.address)
    _ = try #require(other.wait(for: .connectionSetup))
    pair.server.pause()
    for context in UInt(1)...3 {
      #expect(pair.client.get("left \(context)", from: pair.up, context: context) == .ok)
      #expect(other.get("right \(context)", from: handle, context: context) == .ok)
    }
    pair.run(for: .milliseconds(200))
    pair.server.resume()
    _ = try #require(pair.server.wait(for: .request, count: 6))
    let requests = pair.server.log.all(.request)
    for index in [4, 0, 5, 2, 1, 3] {
      let request = requests[index]
      #expect(pair.server.answer(request.bytes, to: request.request) == .ok)
    }
    pair.run(for: .seconds(1))
    for (node, side) in [(pair.client, "left"), (other, "right")] {
      let replies = node.log.all(.reply)
      #expect(replies.count == 3)
      for reply in replies { #expect(reply.text == "\(side) \(reply.getContext)") }
    }
    pair.finish()
  }

  @Test(
    "Both ends use the same reply ids at once without mixing", arguments: bothTransports)
  func bothDirections(transport: Transport) throws {
    let pair = try Pair(transport)
    for node in [pair.client, pair.server] {
      node.onEvent = { node, event in
        if event.kind == .request {
          #expect(node.answer(event.text + " at " + node.name, to: event.request) == .ok)
        }
      }
    }
    for context in UInt(1)...50 {
      #expect(pair.client.get("\(context)", from: pair.up, context: context) == .ok)
      #expect(pair.server.get("\(context)", from: pair.down, context: context) == .ok)
    }
    pair.run(for: .seconds(1))
    for (node, peer) in [(pair.client, "server"), (pair.server, "client")] {
      #expect(node.log.count(.reply) == 50)
      for reply in node.log.all(.reply) { #expect(reply.text == "\(reply.getContext) at \(peer)") }
    }
    pair.finish()
  }
}

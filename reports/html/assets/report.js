"use strict";
// Draws the charts of an Orrery report, each when it comes into view. Their data are in the JSON beside them.
(function () {
  var drawn = {};
  var ink = "#1a2230", soft = "#5a6575", line = "#e3e7ec";
  var font = getComputedStyle(document.body).fontFamily;

  function escape(s) {
    return String(s).replace(/[&<>"']/g, function (c) {
      return { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" }[c];
    });
  }

  function number(v) {
    if (v === null || v === undefined || isNaN(v)) { return "–"; }
    var a = Math.abs(v);
    var digits = a >= 100 ? 0 : a >= 10 ? 1 : a >= 1 ? 2 : 3;
    return Number(v).toLocaleString("en-US", { maximumFractionDigits: digits });
  }

  function row(p, value, unit) {
    return '<div style="display:flex;gap:16px;justify-content:space-between"><span>' + p.marker + escape(p.seriesName) +
      "</span><b>" + number(value) + " " + escape(unit) + "</b></div>";
  }

  function axisTip(spec) {
    return function (ps) {
      if (!ps.length) { return ""; }
      var option = spec.option, stacked = spec.kind === "stacked_area";
      var head = ps[0].name;
      if (spec.time) { // points come in pairs, the start and the end of a bin
        var data = option.series[ps[0].seriesIndex].data, k = ps[0].dataIndex - ps[0].dataIndex % 2;
        head = number(data[k][0]) + " – " + number(data[k + 1][0]) + " " + spec.xUnit;
      }
      ps.sort(function (a, b) { return spec.legend.indexOf(a.seriesName) - spec.legend.indexOf(b.seriesName); });
      var below = 0;
      return "<div>" + escape(head) + "</div>" + ps.map(function (p) {
        var v = spec.time ? p.value[1] : p.value;
        if (stacked && option.series[p.seriesIndex].areaStyle) { // drawn as sums
          v -= below;
          below += v;
        }
        return row(p, v, spec.yUnit === "count" ? "" : spec.yUnit);
      }).join("");
    };
  }

  function heatTip(spec, option) {
    return function (p) {
      return escape(option.yAxis[0].data[p.value[1]]) + "<br>at " + escape(option.xAxis[0].data[p.value[0]]) + " " +
        escape(spec.xUnit) + ": <b>" + p.value[2] + " %</b> used";
    };
  }

  function axis(a, vertical) {
    a.nameTextStyle = { color: soft, fontSize: 12, align: a.nameLocation === "end" ? "left" : "center" };
    if (a.nameLocation === "end") { a.nameTextStyle.padding = [0, 0, 0, -20]; a.nameGap = 12; }
    a.axisLabel = Object.assign({ color: soft, fontSize: 11.5 }, a.axisLabel);
    a.axisLine = { show: !vertical, lineStyle: { color: "#b9c1cc" } };
    a.axisTick = Object.assign({ show: !vertical, lineStyle: { color: "#b9c1cc" } }, a.axisTick);
    a.splitLine = { show: vertical && a.type !== "category", lineStyle: { color: line } };
    if (a.axisLabel.interval) { a.axisLabel.interval = Number(a.axisLabel.interval); }
  }

  function dress(spec) {
    var o = spec.option;
    o.textStyle = { fontFamily: font, color: ink };
    o.useUTC = true;
    o.legend.data = spec.legend;
    o.legend.selectedMode = spec.kind !== "stacked_area";
    o.series.forEach(function (s) { s.progressive = 0; });
    Object.assign(o.legend, { itemWidth: 12, itemHeight: 10, itemGap: 16, textStyle: { color: ink, fontSize: 12 } });
    o.tooltip = Object.assign(o.tooltip, { confine: true, textStyle: { fontSize: 12, color: ink } });
    o.tooltip.axisPointer = { type: spec.kind === "stacked_area" || spec.kind === "line" ? "line" : "shadow" };
    o.tooltip.formatter = spec.kind === "heat_map" ? heatTip(spec, o) : axisTip(spec);
    o.xAxis.forEach(function (a) { axis(a, false); });
    o.yAxis.forEach(function (a) { axis(a, true); });
    if (spec.ticks) {
      var x = o.xAxis[0];
      x.axisLabel.customValues = spec.ticks;
      x.axisTick.customValues = spec.ticks;
      x.axisLabel.formatter = number;
      x.axisLabel.hideOverlap = true;
    }
    if (spec.kind === "heat_map") {
      var every = Math.ceil(o.yAxis[0].data.length / 36) - 1;
      Object.assign(o.yAxis[0].axisLabel, { interval: every, width: 150, overflow: "truncate" });
    }
    if (o.visualMap) {
      [].concat(o.visualMap).forEach(function (v) {
        Object.assign(v, { itemHeight: 160, itemWidth: 12, textStyle: { color: soft } });
      });
    }
    if (o.dataZoom) { // zoom with ctrl + wheel only: a plain wheel scrolls the page
      [].concat(o.dataZoom).forEach(function (z) {
        Object.assign(z, { zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false, moveOnMouseMove: false });
      });
    }
    return o;
  }

  function draw(el) {
    if (drawn[el.id]) { return; }
    var source = document.querySelector('script[data-chart="' + el.id + '"]');
    var chart = echarts.init(el, null, { renderer: "canvas" });
    drawn[el.id] = chart;
    chart.setOption(dress(JSON.parse(source.textContent)));
  }

  var all = Array.prototype.slice.call(document.querySelectorAll(".chart"));
  if ("IntersectionObserver" in window) {
    var seen = new IntersectionObserver(function (entries) {
      entries.forEach(function (e) {
        if (e.isIntersecting) { seen.unobserve(e.target); draw(e.target); }
      });
    }, { rootMargin: "400px" });
    all.forEach(function (el) { seen.observe(el); });
  } else {
    all.forEach(draw);
  }
  window.addEventListener("resize", function () {
    Object.keys(drawn).forEach(function (id) { drawn[id].resize(); });
  });
  window.addEventListener("beforeprint", function () {
    all.forEach(draw);
    document.querySelectorAll("details").forEach(function (d) { d.open = true; });
  });
})();

package reports

// Panels is the list of panels, in the order in which a report shows them. A new panel is one file and one line here.
func Panels() []Panel {
	return []Panel{
		summaryPanel(),
		gpusPanel(),
		fragmentationPanel(),
		queuePanel(),
		waitsPanel(),
		sizesPanel(),
		tenantsPanel(),
		slowdownPanel(),
		gangsPanel(),
		speedPanel(),
		localityPanel(),
		reasonsPanel(),
		longestPanel(),
		nodesPanel(),
		domainsPanel(),
		topologyPanel(),
		migPanel(),
		costPanel(),
		poolsPanel(),
		energyPanel(),
		schedulerPanel(),
		expectationsPanel(),
		warningsPanel(),
		configurationPanel(),
		modelsPanel(),
		definitionsPanel(),
	}
}

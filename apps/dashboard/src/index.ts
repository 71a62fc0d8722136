export { type Dashboard, type DashboardOptions, startDashboard } from './start-dashboard.ts'
export { reportPage } from './report-page.ts'
